"""Streamlit pieces shared by the two pages; nothing in the core imports this package.

Three kinds of module, so that what can be tested without a browser is kept apart from what cannot:
words and figures (``words``, ``verdict``, ``figures``, ``charts``) are pure functions; ``store`` and
``examine`` hold a visit's sounds and results; ``guard``, ``models``, ``sources``, ``result`` and ``texts``
draw with Streamlit.
"""
