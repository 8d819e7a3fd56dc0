"""The other models people use for this task, one file each, behind one interface (``pipeline.zoo.base``)."""
