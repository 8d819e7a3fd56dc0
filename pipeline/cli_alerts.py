"""Who the monitor tells, and ``monitor test-alert``; the work is in ``pipeline.monitor``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli_console import say
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.monitor.channels import Channel

Notify = Annotated[
    list[str] | None,
    typer.Option(
        help="Where alerts go; repeatable. mqtt://…, https://…, or any address of apprise (ntfys://…, "
        "tgram://…, mailtos://…). Those in CRY_MONITOR_NOTIFY, with commas between them, come on top: other "
        "users of the computer can read a command line, and not that.",
        metavar="ADDRESS",
    ),
]
Webhooks = Annotated[
    list[str] | None,
    typer.Option(
        help="Address that alerts are POSTed to; repeatable. Signed where CRY_MONITOR_WEBHOOK_SECRET is set."
    ),
]
EscalateTo = Annotated[
    list[str] | None,
    typer.Option(
        help="Where an alert goes as well when nobody has marked it as seen; repeatable. "
        "CRY_MONITOR_ESCALATE_TO comes on top.",
        metavar="ADDRESS",
    ),
]
EscalateAfter = Annotated[float, typer.Option(min=1, help="Seconds until it does.")]
ProbeEvery = Annotated[
    float | None,
    typer.Option(min=10, help="Seconds between probes sent to webhooks (event 'probe'). [default: none]"),
]
MessageEvery = Annotated[
    float | None,
    typer.Option(
        min=60,
        help="Seconds between messages over apprise that the monitor is there; 86400: daily. [default: none]",
    ),
]


def channels_of(
    notify: Sequence[str] | None,
    webhook: Sequence[str] | None = None,
    *,
    variable: str = "CRY_MONITOR_NOTIFY",
    probe_every_s: float | None = None,
    message_every_s: float | None = None,
) -> list[Channel]:
    """The channels of these addresses and of those in an environment variable, each once.

    Raises:
        SettingsError: something is no address of a channel.
    """
    from pipeline.monitor.channels import parse_channel, split_addresses
    from pipeline.monitor.webhook import Webhook

    secret = os.environ.get("CRY_MONITOR_WEBHOOK_SECRET") or None
    addresses = [*(notify or []), *split_addresses(os.environ.get(variable, ""))]
    made: list[Channel] = [Webhook(address, secret, probe_every_s=probe_every_s) for address in webhook or []]
    made += [
        parse_channel(address, secret=secret, probe_every_s=probe_every_s, message_every_s=message_every_s)
        for address in addresses
    ]
    return list({channel.name: channel for channel in made}.values())


def second_channels(
    escalate_to: Sequence[str] | None, first: Sequence[Channel], *, probe_every_s: float | None = None
) -> list[Channel]:
    """The channels that are told of what nobody has seen.

    Raises:
        SettingsError: there are some, but none that is told first.
    """
    second = channels_of(escalate_to, variable="CRY_MONITOR_ESCALATE_TO", probe_every_s=probe_every_s)
    if second and not first:
        raise SettingsError("Alerts can only go on to others where somebody is told first: name a --notify.")
    return second


def send_test(notify: Notify = None, webhook: Webhooks = None, escalate_to: EscalateTo = None) -> None:
    """Send a test to each channel, now; exit status 1 when one did not take it."""
    from pipeline.monitor.alerts import trial_message
    from pipeline.monitor.channels import ChannelError
    from pipeline.monitor.clock import SystemClock

    channels = channels_of(notify, webhook)
    channels += second_channels(escalate_to, channels)
    if not channels:
        raise SettingsError("There is nobody to tell: name a --notify, or set CRY_MONITOR_NOTIFY.")
    failed = False
    for channel in channels:
        now = SystemClock().now()
        try:
            channel.send(trial_message(now), now.timestamp())
        except ChannelError as error:
            say(str(error))
            failed = True
        else:
            say(f"{channel.name} took it.")
        finally:
            channel.close()
    if failed:
        raise typer.Exit(1)
