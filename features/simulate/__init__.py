"""The simulated company of the demo, whose true values are known.

Larkmoor, an invented telecom and home-services company in the United Kingdom, sells broadband, mobile, television,
energy and devices. :func:`simulate` simulates its customers month by month; :func:`write` writes the feeds of such a
company to ``data/``, and the true values, which only a simulation has, to ``truth/``.

Nobody in it exists: towns are invented, their postcode areas begin with Q, V or X (no real area does), e-mails end in
``example.com``, ``.net`` or ``.org``, and telephone numbers are those that Ofcom keeps for drama (07700 900000 to
900999); there are only a thousand, so further numbers have the form 070xx xxxxxx, which a parser accepts but is no
mobile number.
"""

from features.simulate.simulated_company import SimulatedCompany, simulate
from features.simulate.write import write

__all__ = ["SimulatedCompany", "simulate", "write"]
