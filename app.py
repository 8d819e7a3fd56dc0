"""CryLens light: the reason only, without TensorFlow. It does not check whether the sound is a cry.

Run with ``streamlit run app.py``.
"""

from pipeline.pages.reason_page import main

main()
