"""A workspace: a folder with configuration files as in this repository, and the paths of its state."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from features.base.errors import BadConfiguration
from features.base.generations import current_generation

CONFIGURATION = (
    "features/feeds.yaml",
    "features/views.yaml",
    "features/feature_store.yaml",
    "training/labels.yaml",
    "serving/offers.yaml",
    "serving/roles.yaml",
    "mlflow.yaml",
)
"""The files that a workspace is configured by."""

_SECRET = re.compile(r"\$\{(env|file):([^}]+)\}")


@dataclass(frozen=True)
class Workspace:
    """The paths of one workspace; nothing here is written, and read only which generation is published.

    Parameters
    ----------
    root : the folder that holds ``features/feeds.yaml`` and its sisters
    """

    root: Path

    @property
    def state(self) -> Path:
        """Everything that is produced; ``nextbest run`` makes it again, except what is described as outliving runs.

        Examples
        --------
        >>> Workspace(Path("shop")).state.as_posix()
        'shop/state'
        """
        return self.root / "state"

    @property
    def staged(self) -> Path:
        """Feeds mapped to the canonical tables, one folder a feed."""
        return self.state / "staged"

    @property
    def arriving(self) -> Path:
        """Feeds that were read and not accepted yet; refused loads stay here, while the last accepted one is used."""
        return self.state / "arriving"

    @property
    def quality(self) -> Path:
        """Profiles of the last accepted loads and quarantined rows; outlives every run."""
        return self.state / "quality"

    @property
    def unified(self) -> Path:
        """The canonical tables with one ``customer_id``: the published generation of them.

        A reader takes this path once and reads all tables below it, so that they are of one run.
        """
        return current_generation(self.state / "unified")

    @property
    def personal(self) -> Path:
        """What identifies people: separate from every other table, readable by the owner alone."""
        return self.unified / "personal"

    @property
    def identity(self) -> Path:
        """The id ledger and learnt matching weights; outlives every run and cannot be made again from the feeds."""
        return self.state / "identity"

    @property
    def identity_key(self) -> Path:
        """The secret that new customer ids are made of."""
        return self.keys / "identity.key"

    @property
    def keys(self) -> Path:
        """Secrets, each in a file that its owner alone can read."""
        return self.state / "keys"

    @property
    def pseudonym_key(self) -> Path:
        """The secret under which identifiers are matched that may not be kept."""
        return self.keys / "pseudonym.key"

    @property
    def consent(self) -> Path:
        """The consent ledger; append-only, outlives every run."""
        return self.state / "consent"

    @property
    def snapshots(self) -> Path:
        """Features as of each cutoff, a folder a view with a file a cutoff: the published generation of them."""
        return current_generation(self.state / "snapshots")

    @property
    def streaming(self) -> Path:
        """The log of streamed events, and its rows as a canonical table; outlives every run."""
        return self.state / "streaming"

    @property
    def served(self) -> Path:
        """A sample of the served features, to compare them with the snapshots."""
        return self.state / "served"

    @property
    def models(self) -> Path:
        """Exported champions, one bundle folder a version."""
        return self.state / "models"

    @property
    def ledger(self) -> Path:
        """The decision ledger."""
        return self.state / "ledger" / "decisions.db"

    @property
    def published(self) -> Path:
        """Lists that other systems take."""
        return self.state / "published"

    def file(self, name: str) -> Path:
        """Return the path of one of the workspace's own files, such as ``features/feeds.yaml``.

        Examples
        --------
        >>> Workspace(Path("shop")).file("features/feeds.yaml").as_posix()
        'shop/features/feeds.yaml'
        """
        return self.root / name


def reveal(text: str, *, root: Path, where: str) -> str:
    """Return `text` with ``${env:NAME}`` and ``${file:PATH}`` replaced by what they hold.

    Raises
    ------
    BadConfiguration : when the variable or the file is not there, or empty

    Examples
    --------
    >>> _ = (folder / "key").write_text("hush")
    >>> reveal("${file:key}", root=folder, where="feeds.yaml")
    'hush'
    """

    def value(match: re.Match[str]) -> str:
        kind, name = match.group(1), match.group(2)
        if kind == "env":
            if not os.environ.get(name):
                raise BadConfiguration(
                    "secret.missing", f"the environment variable {name} is not set or empty", where=where, hint="set it"
                )
            return os.environ[name]
        try:
            held = (root / name).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):  # UnicodeDecodeError would print what the file holds
            held = ""
        if not held:
            raise BadConfiguration(
                "secret.missing",
                f"the file {name} cannot be read, or is empty",
                where=where,
                hint="create it, readable by you only",
            )
        return held

    return _SECRET.sub(value, text)


def reveal_address(address: str, *, root: Path, where: str) -> str:
    """Return an address with its references replaced: the whole of it, or parts, which are then percent-encoded.

    Raises
    ------
    BadConfiguration : when the variable or the file is not there, or empty

    Examples
    --------
    >>> _ = (folder / "key").write_text("a/b")
    >>> reveal_address("redis://:${file:key}@cache.example", root=folder, where="store.yaml")
    'redis://:a%2Fb@cache.example'
    """
    if is_reference(address):
        return reveal(address, root=root, where=where)
    return _SECRET.sub(lambda match: quote(reveal(match.group(), root=root, where=where), safe=""), address)


def is_reference(text: str) -> bool:
    """Say whether `text` is a reference to a secret, and nothing else.

    Examples
    --------
    >>> is_reference("${env:CRM_PASSWORD}"), is_reference("secret")
    (True, False)
    """
    return _SECRET.fullmatch(text) is not None
