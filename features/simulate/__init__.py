"""The demo company, with the truth known.

Larkmoor, an invented telecom and home-services company in the United Kingdom, sells broadband, mobile, television,
energy and what goes with them. :func:`simulate` plays its customers month by month; :func:`write` lays the feeds
that such a company would have into ``data/`` and what only a simulation can know into ``truth/``.

Nobody in it exists: towns are invented, their postcode areas begin with Q, V or X (no real area does), e-mails end in
``example.com``, ``.net`` or ``.org``, and telephone numbers are those that Ofcom keeps for drama (07700 900000 to
900999) for as long as they last; there are only a thousand, so later numbers have the shape 070xx xxxxxx, which is
valid to a parser but is not a mobile number.
"""

from features.simulate.simulated_company import SimulatedCompany, simulate
from features.simulate.write import write

__all__ = ["SimulatedCompany", "simulate", "write"]
