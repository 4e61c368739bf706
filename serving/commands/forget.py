"""``nextbest features forget``: take one customer out of the online store and the log of served features alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.commands.options import AsJson, Folder, workspace_of
from serving.terminal import Terminal


def forget(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Forget one customer online; a later build brings them back, unless the feeds no longer hold them."""
    from features.store import vector_log
    from features.store.reading import open_reader

    place = workspace_of(workspace)
    reader = open_reader(place.root)
    forgotten = reader.delete(customer)
    reader.close()
    served = vector_log.forget(place.served, customer)
    terminal = Terminal(as_json=as_json)
    terminal.answer({"customer_id": customer, "forgotten": forgotten, "served": served})
    if forgotten:
        terminal.say("the online store no longer holds this customer, and still holds all others")
        terminal.say("a later build of the features brings them back, unless the feeds no longer hold them")
    else:
        terminal.say("the online store does not hold this customer")
    terminal.next_step("nextbest features")
