"""The longer texts of the pages: what this can and cannot do, and where the sound goes."""

from __future__ import annotations

PRIVACY = (
    ":material/lock: The sound stays on the computer that runs this page, in memory, and is gone when you "
    "close the tab. Nothing is sent anywhere else."
)

ABOUT_CRY = """
**It can** tell you whether a sound holds a baby's cry, and when. It was trained on real cries and on many
household sounds that are none. It listens in steps of half a second.

**It can be wrong.** It may miss a cry that is quiet, far away or under a loud fan, and it may take a cat, a
child or a squeaking door for one. Where the score is close to the line, listen yourself.

**It cannot know why a baby cries.** Large studies found that neither programs nor trained people can tell the
reason from the sound alone much better than by chance. The reasons shown are chances, beside how common each
one is anyway. Feeding time, sleep and nappy tell you more.

**It is not a medical device** and knows nothing about health. If you are worried about a baby, trust that and
call someone who can look at them.
"""

ABOUT_REASON = """
**This page does not check whether a baby is crying.** It takes your word for it. For any other sound the
chances below mean nothing. The full page (`cry_classify_app.py`) checks first.

**It cannot know why a baby cries.** Large studies found that neither programs nor trained people can tell the
reason from the sound alone much better than by chance. The reasons shown are chances, beside how common each
one is anyway. Feeding time, sleep and nappy tell you more.

**It is not a medical device** and knows nothing about health. If you are worried about a baby, trust that and
call someone who can look at them.
"""

FORMATS = "WAV, MP3, M4A, OGG, WebM, FLAC, 3GP, CAF and other phone formats."
