"""The monitor's page: what the history says, in views. It reads the history and writes only marks.

``spans``, ``times``, ``sums``, ``why`` and ``markup`` are pure functions; ``reading`` and ``kept`` touch the
disk; ``pictures`` makes charts; ``live``, ``day``, ``weeks``, ``episode_list`` with ``one_episode``,
``alert_log`` and ``setup`` draw a view each, put together by ``page``.
"""
