"""Meaning of column names: the words that companies use for canonical fields, ids, places and outcomes."""

from __future__ import annotations

import re

from features.config.canonical import Kind, snake_case

#: Canonical field: the names under which columns hold it, most telling first. In order: the first that fits is taken.
FIELD_NAMES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "customers": {
        "first_name": ("first_name", "firstname", "fname", "given_name", "givenname", "forename", "vorname", "prenom"),
        "last_name": ("last_name", "lastname", "lname", "surname", "family_name", "nachname"),
        "full_name": ("full_name", "fullname", "name", "customer_name", "display_name", "contact_name"),
        "email": ("email", "e_mail", "email_addr", "email_address", "mail", "e_mail_address", "email_id"),
        "phone": (
            "phone",
            "telephone",
            "tel",
            "mobile",
            "phone_number",
            "telephone_number",
            "mobile_number",
            "mobile_phone",
            "cell",
            "cell_phone",
            "phone_no",
            "tel_no",
            "telefon",
            "handy",
        ),
        "birth_date": ("birth_date", "date_of_birth", "dob", "birthdate", "birthday", "born", "geburtsdatum"),
        "gender": ("gender", "sex"),
        "street": (
            "street",
            "street_address",
            "address",
            "address_1",
            "address1",
            "addr",
            "address_line_1",
            "address_line1",
            "line_1",
            "strasse",
        ),
        "city": ("city", "town", "suburb", "locality", "ort"),
        "postcode": ("postcode", "post_code", "zip", "zip_code", "zipcode", "postal_code", "plz"),
        "region": ("region", "state", "province", "county"),
        "country": ("country", "country_code", "nation", "land"),
    },
    "events": {
        "item": (
            "item",
            "item_id",
            "product_id",
            "product",
            "sku",
            "stock_code",
            "article",
            "article_no",
            "coupon_upc",
            "upc",
            "product_code",
            "material",
        ),
        "amount": (
            "amount",
            "total_price",
            "total",
            "sales_value",
            "revenue",
            "total_amount",
            "price_paid",
            "spend",
            "dollars_spent",
            "net_amount",
            "gross_amount",
            "betrag",
            "value",
        ),
        "quantity": ("quantity", "qty", "units", "pieces", "menge", "number_of_nights"),
        "channel": ("channel", "sales_channel", "booking_type"),
        "text": ("review_text", "text", "comment", "comments", "message", "body", "note", "notes"),
    },
    "holdings": {
        "item": ("item", "item_id", "product_id", "product", "plan", "contract_type", "tariff", "policy", "sku"),
        "price": ("price", "monthly_price", "monthly_charge", "premium", "fee", "amount"),
    },
    "items": {
        "name": ("name", "title", "product_name", "item_name", "description", "product_type"),
        "group": ("group", "category", "product_category", "product_group", "department", "family"),
        "price": ("price", "unit_price", "list_price"),
    },
    "interactions": {
        "offer": ("offer", "offer_id", "action", "proposition", "campaign", "campaign_id", "name", "treatment"),
        "channel": ("channel",),
        "arm": ("arm", "variant", "treatment_group", "control_group", "model_control_group"),
        "selection_prob": ("selection_prob", "propensity", "propensity_score", "pscore", "probability"),
        "outcome": ("outcome", "response", "result", "answer", "accepted"),
    },
    "consents": {
        "purpose": ("purpose", "consent_type", "consent_purpose", "permission", "consent"),
        "status": ("status", "consent_status", "decision", "granted", "state", "value", "opted"),
        "basis": ("basis", "legal_basis", "lawful_basis"),
        "notice": ("notice", "notice_version", "version", "evidence"),
    },
    "context": {},
}
UNIT_PRICE = ("unit_price", "price", "item_price")
HOUSE_NUMBER = ("street_number", "house_number", "house_no", "hausnummer")
#: Year, month and day of birth in three columns.
BIRTH_PARTS = (("by", "bm", "bd"), ("birth_year", "birth_month", "birth_day"))

HELD_FROM = ("start", "begin", "from", "since", "opened", "activated")
HELD_TO = ("end", "to", "until", "closed", "expires", "expiry", "cancelled", "terminated")
CHANGED = ("modified", "updated", "changed", "edit", "edited", "lastupdate")
FIRST_KNOWN = ("created", "opened", "registered", "joined", "signup", "seen", "enrolled", "onboarded")
RECORDED = ("loaded", "ingested", "recorded", "known", "received")
#: What a moment is called that lies after the row's own.
LATER = ("end", "until", "outcome", "out", "expires", "validity", "due", "paid", "delivered", "closed")
OF_BIRTH = ("birth", "dob", "born", "birthdate", "birthday", "geburtsdatum")

_PREFIXES = ("py_", "px_", "customer_", "cust_", "client_", "person_", "user_")
_CUSTOMER = frozenset(
    [
        "customer",
        "cust",
        "client",
        "contact",
        "account",
        "member",
        "household",
        "user",
        "subscriber",
        "person",
        "loyalty",
        "party",
        "subject",
        "shopper",
        "guest",
        "kunde",
        "kunden",
        "policyholder",
        "patient",
    ]
)
_IDS = frozenset(["id", "no", "nr", "number", "num", "key", "code", "ref", "uuid", "guid"])
_PAPERS = frozenset(["invoice", "receipt", "order", "ticket"])
_ITEM = frozenset(["product", "item", "sku", "article", "stock", "upc", "plan", "tariff", "material"])
_PLACE = frozenset(["zip", "postcode", "postal", "plz", "city", "region", "area", "district", "county", "place"])
_SENSITIVE = frozenset(
    [
        "ssn",
        "passport",
        "iban",
        "bic",
        "iban_no",
        "nin",
        "nhs",
        "tax_id",
        "card_number",
        "credit_card_number",
        "ip",
        "ip_address",
    ]
)
_PERSONAL_WORDS = ("soc_sec", "social_security", "national_id", "passport", "maiden", "address", "login", "username")
_ANSWERS = frozenset(
    [
        "churn",
        "churned",
        "churn_value",
        "churn_label",
        "churn_flag",
        "exited",
        "attrition",
        "left",
        "cancelled",
        "target",
        "label",
        "y",
        "conversion",
        "converted",
        "response",
        "responded",
        "caravan",
    ]
)
_TELLS = re.compile(
    r"churn|attrition|cancel|exited|score|propensity|prediction|predicted|probability|cltv|clv|lifetime|satisfaction"
    r"|(^|_)(status|reason|duration|outcome|visit|conversion|spend)($|_)"
)


def plain(column: str) -> str:
    """Return a column's name in the form in which names are compared.

    Examples
    --------
    >>> plain("pyCustomerName"), plain("E-Mail")
    ('name', 'e_mail')
    """
    name = (
        re.sub(r"_(c?1)$", "", snake_case(column))
        if not snake_case(column).startswith("address")
        else snake_case(column)
    )
    for prefix in _PREFIXES:
        rest = name.removeprefix(prefix)
        if rest != name and rest not in _IDS:
            name = rest
    return name


def words(column: str) -> frozenset[str]:
    """Return the words of a column's name.

    Examples
    --------
    >>> sorted(words("OrderDate"))
    ['date', 'order']
    """
    return frozenset(snake_case(column).split("_"))


def names_customer(column: str) -> bool:
    """Return whether a column of this name refers to a customer.

    Examples
    --------
    >>> names_customer("CustomerID"), names_customer("colour")
    (True, False)
    """
    found = snake_case(column).split("_")
    return bool(_CUSTOMER & set(found)) and (found[-1] in _IDS | _CUSTOMER) and not names_person(column)


def names_person(column: str) -> bool:
    """Return whether a column of this name identifies a person without being a canonical field."""
    name = snake_case(column)
    return (
        bool(_SENSITIVE & words(column))
        or name in _SENSITIVE
        or any(word in name for word in _PERSONAL_WORDS)
        or bool(re.match(r"((first|last|given|sur|f|l)_?name_?(c?\d)?|name_(first|last|given|family|middle))$", name))
    )


def names_id(column: str) -> bool:
    """Return whether a column of this name is an id.

    Examples
    --------
    >>> names_id("invoice_no"), names_id("amount")
    (True, False)
    """
    last = snake_case(column).split("_")[-1]
    return last in _IDS | _PAPERS or last.endswith(("id", "code")) or bool(_ITEM & words(column) and last in _IDS)


def names_item(column: str) -> bool:
    """Return whether a column of this name means an item that is sold."""
    return bool(_ITEM & words(column))


def names_place(column: str) -> bool:
    """Return whether a column of this name means a place."""
    return bool(_PLACE & words(column))


def names_answer(column: str) -> bool:
    """Return whether a column of this name usually holds an outcome to predict.

    Examples
    --------
    >>> names_answer("churned"), names_answer("city")
    (True, False)
    """
    return snake_case(column) in _ANSWERS


def may_leak(column: str) -> bool:
    """Return whether a column of this name may leak the outcome to a model of the past."""
    if words(column) & {"marital", "civil"} or names_id(column):
        return False
    return names_answer(column) or bool(_TELLS.search(snake_case(column)))
