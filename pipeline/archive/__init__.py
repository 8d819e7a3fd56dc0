"""Archives: recordings of months and many rooms, analysed in parallel, resumable, told as tables.

``plan`` finds recordings and gives each its key; an engine (``local_engine``, ``ray_engine``) has worker
processes (``worker``, ``ears``) listen to them; ``run`` conducts; ``store`` keeps each result as soon as it
is there; ``tables`` and ``summary`` tell all of them at the end. What a worker says about a recording is
what ``CryPipeline.analyze`` says.
"""
