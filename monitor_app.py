"""CryLens, the page of the monitor: what it hears, what it has heard, and what it told whom.

Run with ``make run-monitor``, or ``streamlit run monitor_app.py``; CRY_MONITOR_STORE names the history.
"""

from pipeline.pages.monitor.page import main

main()
