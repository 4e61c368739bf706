"""Files of other kinds than tables, recognised by name and first bytes, and how each becomes one that can be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from features.base.errors import BadData

_BANK = "download the account's transactions as CSV, or convert them to CSV"
_UNPACK = "unpack it and name the files in it"


@dataclass(frozen=True)
class ForeignFormat:
    """A kind of file that is no table.

    Parameters
    ----------
    name : what it is called, with its article
    suffixes : of such files
    begins : pattern of how one begins
    hint : how it becomes a table
    """

    name: str
    suffixes: tuple[str, ...]
    begins: str
    hint: str


_FORMATS = (
    ForeignFormat("an MT940 bank statement", (".sta", ".mt940", ".940", ".swi"), r"(\{1:F01|:20:)", _BANK),
    ForeignFormat("an OFX bank statement", (".ofx", ".qfx"), r"(OFXHEADER|<\?xml[^>]*>\s*<\?OFX|<OFX>)", _BANK),
    ForeignFormat("a QIF file", (".qif",), r"!(Type|Account):", _BANK),
    ForeignFormat(
        "a vCard address book", (".vcf", ".vcard"), r"BEGIN:VCARD", "export the contacts as CSV, or convert them to CSV"
    ),
    ForeignFormat("an iCalendar file", (".ics",), r"BEGIN:VCALENDAR", "export the entries as CSV"),
    ForeignFormat(
        "an SQL dump",
        (".sql", ".dump"),
        r"(--|/\*|SET |BEGIN;|PRAGMA |DROP )[\s\S]*?(INSERT INTO|CREATE TABLE|COPY )|CREATE TABLE|INSERT INTO|PGDMP",
        "load it into its database and read that (`source: postgresql://…`, `mysql://…` or `sqlite:///PATH`), "
        "or export each table as CSV",
    ),
    ForeignFormat(
        "an HTML page",
        (".html", ".htm"),
        r"<(!DOCTYPE html|html|head|table|meta)\b",
        "open it in a spreadsheet, save it as XLSX or CSV",
    ),
    ForeignFormat(
        "an XML document",
        (".xml",),
        r"<\?xml|<[A-Za-z][\w:.-]*[\s>]",
        "export it as CSV or JSON, or convert it to one of them",
    ),
    ForeignFormat("a PDF document", (".pdf",), r"%PDF", "ask for the data behind it as CSV or Excel"),
    ForeignFormat(
        "an archive",
        (".zip", ".gz", ".7z", ".tar", ".tgz", ".rar", ".bz2", ".xz", ".zst"),
        r"PK\x03\x04|\x1f\x8b",
        _UNPACK,
    ),
    ForeignFormat("an SPSS, SAS or Stata file", (".sav", ".sas7bdat", ".dta"), r"\$FL2@", "save it as CSV or Parquet"),
)


def refuse_foreign(feed: str, file: str, head: str = "") -> None:
    """Refuse a file that is no table, by name.

    Parameters
    ----------
    feed : for the message
    file : its name
    head : its first characters, where it claims to be a table

    Raises
    ------
    BadData : code ``feed.foreign``

    Examples
    --------
    >>> try:
    ...     refuse_foreign("bank", "july.txt", ":20:STARTUMS")
    ... except BadData as error:
    ...     print(error.first.message)
    july.txt is an MT940 bank statement, not a table
    """
    suffix = Path(file).suffix.lower()
    for one in _FORMATS:
        if suffix in one.suffixes or (head and re.match(one.begins, head.lstrip("\ufeff\r\n\t "), re.IGNORECASE)):
            raise BadData(
                "feed.foreign",
                f"{file} is {one.name}, not a table",
                where=f"feed {feed}",
                hint=f"{one.hint}; CSV, Parquet, JSON, Excel files and databases can be read",
            )
