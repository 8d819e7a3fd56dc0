"""Streamlit pieces of the pages; nothing in the core imports this package.

Three kinds of module, so that what can be tested without a browser is kept apart from what cannot:
words and figures (``words``, ``verdict``, ``figures``, ``charts``) are pure functions; ``store`` and
``examine`` hold a visit's sounds and results; ``guard``, ``models``, ``sources``, ``result`` and ``texts``
draw with Streamlit. The monitor's page is in ``monitor``, built the same way.
"""
