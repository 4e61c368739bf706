"""Words that the invented people and places are made of."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _words(
    "Aisha Alice Amara Amelia Amy Anna Beatrice Bethany Bronwen Caitlin Camille Carys Catherine Chloe "
    "Daisy Deepa Eilidh Eleanor Elizabeth Ella Emily Erin Esther Fatima Fiona Freya Grace Hannah Harriet "
    "Heather Imogen Iris Isla Jasmine Jennifer Jessica Joanna Kathryn Kavita Laura Leila Lucy Margaret "
    "Maya Megan Mei Molly Nadia Naomi Nicola Niamh Olivia Orla Patricia Phoebe Poppy Priya Rachel Rebecca "
    "Rhiannon Rosa Ruth Samantha Sarah Sinead Sophie Susan Tamsin Theresa Victoria Wendy Yasmin Zara Zoe"
)
MEN = _words(
    "Aaron Adam Adeel Aidan Alan Alexander Andrew Angus Anthony Arjun Benjamin Callum Charles Christopher "
    "Colin Connor Daniel David Declan Dylan Edward Emeka Ethan Euan Finlay Francis Gareth George Gethin "
    "Graham Harry Hassan Henry Hugh Ian Idris Ivan Jack Jacob James Jamie John Jonathan Joseph Kieran "
    "Kofi Kwame Lachlan Leon Lewis Liam Marcus Martin Matthew Michael Mohammed Nathan Neil Nicholas "
    "Oliver Omar Owen Patrick Peter Philip Rafael Rajesh Rhys Richard Robert Rory Samuel Sean Simon "
    "Stephen Thomas Timothy William Yusuf"
)
FIRST_NAMES = (*WOMEN, *MEN)

SHORT_NAMES = {
    "Alexander": "Alex", "Andrew": "Andy", "Anthony": "Tony", "Benjamin": "Ben", "Bethany": "Beth",
    "Catherine": "Kate", "Charles": "Charlie", "Christopher": "Chris", "Daniel": "Dan", "David": "Dave",
    "Edward": "Ted", "Eleanor": "Ellie", "Elizabeth": "Liz", "Jennifer": "Jen", "Jessica": "Jess", "Joanna": "Jo",
    "Jonathan": "Jon", "Joseph": "Joe", "Kathryn": "Kath", "Margaret": "Maggie", "Matthew": "Matt",
    "Michael": "Mike", "Nicholas": "Nick", "Oliver": "Ollie", "Patricia": "Pat", "Philip": "Phil",
    "Rebecca": "Becky", "Richard": "Rich", "Robert": "Bob", "Samantha": "Sam", "Samuel": "Sam", "Stephen": "Steve",
    "Susan": "Sue", "Theresa": "Tess", "Thomas": "Tom", "Timothy": "Tim", "Victoria": "Vicky", "William": "Bill",
}  # fmt: skip

_FRONTS = _words(
    "Ash Bar Black Brad Brook Car Chat Clay Cole Crom Dal Den East Elm Fair Fen Gold Grim Hal Harl Hart "
    "Hazel Hol Kings Lang Led Lock Mal Mar Mid Nor Oak Old Pem Rad Red Row Sand Shel South Stan Thorn "
    "Wake Wal West Whit Win Wood"
)
_BACKS = _words(
    "bourne bridge bury by combe croft dale den field ford ham hurst land ley low man more sham shaw "
    "stead ton wick well worth"
)
LAST_NAMES = tuple(front + back for front in _FRONTS for back in _BACKS)

STREETS = tuple(
    f"{name} {kind}"
    for name in _words(
        "Abbey Alder Beech Birch Bramble Canal Castle Cedar Chapel Church Clover Cobble Elder Fern Forge "
        "Foundry Garden Heron Juniper Kiln Larch Linden Mallow Meadow Mill Orchard Osprey Poplar Priory "
        "Quarry Rowan Saddler Station Sycamore Tanner Thistle Weaver Willow Wren Yew"
    )
    for kind in ("Street", "Road", "Lane", "Close", "Avenue", "Way")
)
POSTCODE_LETTERS = "ABDEFGHJLNPQRSTUWXYZ"  # the second half of a postcode never has C, I, K, M, O or V
