"""Times on the command line."""

from __future__ import annotations

import click

from lake.errors import InvalidTimeError
from lake.spec.times import to_micros


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """An option's time with a zone, as ISO text or epoch number, handed on as it was given.

    Raises:
        click.BadParameter: it is none.
    """
    if value is not None:
        try:
            to_micros(value)
        except InvalidTimeError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return value
