"""Pure decisioning: offers, eligibility, value, arbitration, reasons."""
