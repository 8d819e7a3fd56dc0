"""CryLens, the full page: detect a baby's cry in a sound, then say what it might be about.

Run with ``make run``, or ``streamlit run cry_classify_app.py``.
"""

from pipeline.pages.cry_page import main

main()
