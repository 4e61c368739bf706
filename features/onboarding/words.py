"""The words of a column's name, folded and translated, so that names of several languages can be compared."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from features.config.canonical import snake_case

_FILLERS = frozenset(["s", "n", "en", "es", "e", "de", "d"])  # what joins the parts of a compound word
_SHORTEST = 2
#: What "do not" forbids where it is an opt-out.
_CONTACT = frozenset(["contact", "usage", "call", "email", "phone", "sms", "text", "fax", "post", "sent", "subscribed"])
_CONTACT |= {"marketing", "disturb", "share", "sell", "track", "push"}

# one line a concept: the English word that the rest of the package uses, then the words that mean it
_VOCABULARY = """
customer: customer customers cust client clients kunde kunden kundin klant klanten cliente clientes acheteur comprador
customer: relation relations relatie relaties
contact: contact contacts kontakt kontakte contacto contactos ansprechpartner contactpersoon
user: user users benutzer nutzer usuario usuarios utilisateur gebruiker uid
member: member members loyalty mitglied mitglieder membre miembro socio lid adherent
account: account accounts konto compte cuenta rekening
person: person personne persona persoon
subscriber: subscriber subscribers abonnent abonnenten abonne suscriptor abonnee teilnehmer
visitor: visitor visiteur visitante bezoeker besucher pseudo anonymous anon device cookie browser distinct
recipient: recipient recipients empfanger empfaenger destinataire destinatario ontvanger
requester: requester author anforderer demandeur solicitante aanvrager absender sender
respondent: respondent teilnehmender repondant encuestado
payer: payer payor zahler zahlungspflichtiger payeur pagador betaler debtor counterparty kontrahent
guest: guest gast invite huesped shopper passenger
household: household haushalt foyer hogar huishouden
subject: subject
party: party partner geschaftspartner geschaeftspartner
billing: billing bill rechnungs facturation facturacion factuuradres bezahler
shipping: shipping ship delivery liefer lieferung livraison envio levering
staff: owner owners agent agents assignee assigned staff rep salesperson employee mitarbeiter bearbeiter vertriebler
staff: verantwortlicher inhaber admin administrator operator submitter seller verkaufer verkaeufer vendedor vendeur
staff: medewerker eigenaar proprietaire propietario responsable agente conseiller manager handler creator modifier
staff: sachbearbeiter betreuer assistant cashier kassierer
other: other called opposite callee referrer manager parent
email: email emails mail mails courriel correo emailadresse mailadresse
phone: phone phones telephone telefon telefono telefoon tel rufnummer msisdn
phone: mobile mobil mobiel movil portable handy cell cellphone gsm
fax: fax telefax
name: name names naam nom nombre namen
first: first given vor voornaam prenom fname firstname forename
first_name: vorname prenom voornaam fname firstname forename givenname
last: last sur family nach surname
last_name: nachname familienname zuname achternaam apellido apellidos lname lastname surname familyname
full: full display vollstandiger vollstaendiger voller complet completo volledige
birth: birth birthday birthdate dob born geburt geburts geburtstag naissance nacimiento geboorte cumpleanos
birth_date: dob birthdate birthday born geburtsdatum geburtstag geboortedatum cumpleanos
gender: gender sex geschlecht sexe sexo genero geslacht anrede salutation
street: street strasse str rue calle straat address1 addr address addresse adresse direccion adres line1 anschrift
house: house hausnummer hausnr huisnummer
city: city town suburb locality ort stadt ville ciudad poblacion plaats stad gemeinde wohnort municipality
postcode: postcode zip zipcode postal plz postleitzahl cp codepostal codigopostal postleit
region: region state province county bundesland provincia provincie departement
country: country nation land pays pais
company: company organisation organization firma firmenname societe entreprise empresa bedrijf unternehmen org raison
id: id ids no nr num number nummer numero key code ref reference uuid guid kennung identifier identifiant leid clave
id: kenn identification vpid codigo seq
date: date datum fecha day dag tag jour dia data
time: time zeit uhrzeit heure hora tijd tstamp timestamp datetime zeitpunkt zeitstempel ts at on moment clock am
zone: zone timezone tz gmtoff dstoff
created: created create creation angelegt erstellt erfasst erstelldatum cree creado creada aangemaakt anlage alta
created: creacion added hinzugefugt registered registration joined signup sign joining enrolled onboarded opened
created: registriert inscription registro geregistreerd activation confirm confirmed optin anmeldung since erstellung
changed: changed change modified modification updated update edited edit geandert geaendert aktualisiert modifie
changed: modificado actualizado gewijzigd bijgewerkt lastupdate modstamp aenderung anderung mutation
loaded: loaded ingested etl imported import received synced extracted exported export derived
event: event evenement evento gebeurtenis ereignis hit hits
order: order orders ordered bestellung bestellungen bestell auftrag auftrage auftraege commande commandes pedido
order: pedidos bestelling bestellingen purchase purchases purchased kauf kaufe achat compra aankoop sale sales sold
order: vente venta verkauf verkoop checkout increment
invoice: invoice invoices rechnung rechnungen beleg belege facture factura factuur bon receipt quittung
payment: payment payments paid zahlung zahlungen paiement paiements pago pagos betaling charge umsatz transaction
payment: transactions transaktion transaktionen transaccion transactie buchung buchungs booking operation
bill: bills
ticket: ticket tickets case cases conversation conversations issue anfrage anfragen vorgang zaak incidencia
ticket: reclamation complaint complaints beschwerde
deal: deal deals opportunity opportunities opportunite verkaufschance oportunidad lead
booking: stay stays reservation reservierung reserva hotel
answer: response responses answer answers survey feedback umfrage reponse respuesta enquete antwort nps csat
answer: submission submissions
visit: visit visits session sessions pageview pageviews page click clicks besuch
usage: usage cdr cdrs call calls anruf anrufe verbrauch
review: review reviews rating ratings bewertung
redemption: redemption redemptions
item: item items product products produit producto artikel article articulo sku material upc stock asin
item: lineitem position ware lineitems coupon isbn
plan: plan plans tariff tarif tarifa package bundle contract vertrag policy abo price_plan
subscription: subscription subscriptions abonnement abonnements suscripcion
amount: amount betrag summe montant importe bedrag total gesamt gesamtbetrag gesamtsumme sum paid price_paid spend
amount: amt value wert nettowert umsatz revenue sales_value gross brutto net netto worth prix importe bedrag ttc
credit: credit credits crdt cr haben haber abono bij gutschrift
debit: debit debits dbit debet dr soll debe cargo af lastschrift
total: total tot gesamt summe totaal gesamtbetrag gesamtsumme grand nettowert
price: price preis prix precio prijs unitprice einzelpreis rate cost
unit: unit einzel unitaire unitario stuck stueck stuks
quantity: quantity qty menge anzahl quantite cantidad aantal units pieces stuckzahl stueckzahl count
tax: tax taxes vat mwst tva iva btw steuer
fee: fee fees gebuhr gebuehr frais surcharge
discount: discount rabatt remise descuento korting
refund: refund refunded rembourse erstattung erstattet reembolso disputed chargeback
balance: balance outstanding saldo solde ltv clv cltv lifetime
converted: converted base settlement
currency: currency wahrung waehrung devise moneda valuta waehrungscode iso_currency
channel: channel kanal canal kanaal source platform via medium
text: text comment comments message body description beschreibung note notes nachricht bemerkung verwendungszweck
text: kommentar commentaire mensaje comentario opmerking subject_line betreff remittance memo
title: title subject betreff objet asunto onderwerp
status: status state stage zustand statut estado etat stadium
type: type typ tipo art soort kind
purpose: purpose zweck finalite finalidad doel topic
consent: consent consents einwilligung zustimmung consentement consentimiento toestemming permission permissions
consent: preference preferences
newsletter: newsletter nieuwsbrief boletin infolettre rundbrief
marketing: marketing newsletter werbung promo promotional publicite publicidad advertising promotions nieuwsbrief
marketing: werbe reclame
subscribed: subscribed subscribe accepts accept accepted abonniert inscrit suscrito allows allowed allow agreed
opt: opt optin opted
in: in
out: out
optout: optout unsubscribed unsubscribe unsub unsubs suppressed suppression suppressions desinscrit desabonne abgemeldet
optout: baja afgemeld blocklist blocklisted blacklist blacklisted blocked widerspruch widerrufen widerruf dnc
optout: complained objection objected dnd robinson
bounce: bounce bounced bounces
not: not no_ nicht kein keine keinen pas non geen without ohne sans sin exclude excludes excluded disable disabled
not: block stop stopped suppress sperre gesperrt
contactable: donot
campaign: campaign campaigns kampagne campagne campana mailing broadcast
sent: sent send sends gesendet senden zusenden envoye envoyer enviado enviar verzonden verzenden
opened: opens clicked geoffnet ouvert
offer: offer offers angebot offre oferta aanbod proposition action
treatment: treatment
outcome: outcome result ergebnis resultat resultado resultaat
start: start starts started begin beginn debut inicio ingang held_from from activated activation
end: end ends ended ende fin eind until to expiry expires expire expiration cancelled canceled terminated kundigung
end: kuendigung ablauf vencimiento
due: due faellig fallig echeance vencimiento vervaldatum
closed: closed close closing geschlossen abgeschlossen ferme cerrado gesloten resolved solved solution erledigt
delivered: delivered fulfilled shipped geliefert versendet livre entregado geleverd dispatched
later: last latest letzte dernier ultimo laatste next previous prev first_touch
group: group category gruppe kategorie categorie categoria
department: department family segment
ip: ip
url: url uri link web website referer page_url
card: card karte carte tarjeta kaart last4 fingerprint
bank: iban bic swift kontonummer bankverbindung
national: ssn passport nin nhs nif dni bsn steuernummer tax_id siret
record: record datensatz row zeile registro enregistrement
order_line: line zeile ligne linea regel
"""


@cache
def _meanings() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in _VOCABULARY.strip().splitlines():
        concept, _, named = line.partition(":")
        for word in (*named.split(), concept):
            found.setdefault(word, set()).add(concept)
    return {word: frozenset(concepts) for word, concepts in found.items()}


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text.

    Examples
    --------
    >>> sorted(word_set("yes no"))
    ['no', 'yes']
    """
    return frozenset(text.split())


def fold(text: str) -> str:
    """Return a text in plain letters: without accents.

    Examples
    --------
    >>> fold("Prénom"), fold("Straße")
    ('Prenom', 'Strasse')
    """
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ø", "o").replace("æ", "ae"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def split_words(column: str) -> tuple[str, ...]:
    """Return the words of a column's name, in order, compounds of known words taken apart.

    Examples
    --------
    >>> split_words("OrderDate"), split_words("orderdate"), split_words("Kundennummer")
    (('order', 'date'), ('order', 'date'), ('kunden', 'nummer'))
    """
    found: list[str] = []
    for word in snake_case(re.sub(r"IDs\b", "Ids", fold(column))).split("_"):
        found += _parts(word)
    return tuple(found)


def concepts(column: str) -> frozenset[str]:
    """Return what the words of a column's name mean, as English words.

    Examples
    --------
    >>> sorted(concepts("Bestelldatum")), sorted(concepts("userid"))
    (['date', 'order'], ['id', 'user'])
    """
    return _concepts(split_words(column))


@cache
def _concepts(found: tuple[str, ...]) -> frozenset[str]:
    meanings = _meanings()
    named = frozenset[str]().union(*(meanings.get(word, {word}) for word in found))
    refused = {"do", "not"} <= named and bool(named & _CONTACT)  # and not "Do not modify"
    if {"opt", "out"} <= named or refused or {"contactable"} & named:
        named |= {"optout"}
    if {"first", "name"} <= named:
        named |= {"first_name"}
    if {"last", "name"} <= named:
        named |= {"last_name"}
    if {"post", "id"} <= named:
        named |= {"postcode"}
    if {"birth", "date"} <= named:
        named |= {"birth_date"}
    return named


@cache
def _parts(word: str) -> tuple[str, ...]:
    """Return a word, or the known words that it is made of; the fewest of them."""
    known = _meanings()
    if word in known or len(word) < 2 * _SHORTEST or word.isdigit():
        return (word,)
    if word.endswith("s") and word.removesuffix("s") in known:
        return (word.removesuffix("s"),)
    best: list[tuple[str, ...] | None] = [()] + [None] * len(word)
    for end in range(_SHORTEST, len(word) + 1):
        for start in range(end - _SHORTEST + 1):
            before, part = best[start], word[start:end]
            if before is None:
                continue
            piece: tuple[str, ...] | None = None
            if part in known and (len(part) > 2 or part in ("id", "no", "nr", "at")):
                piece = (part,)
            elif before and end < len(word):
                bare = next((f for f in _FILLERS if part.endswith(f) and part.removesuffix(f) in known), None)
                piece = (part.removesuffix(bare),) if bare and len(part) > 2 + len(bare) else None
            if piece and (best[end] is None or len(before) + 1 < len(best[end] or ())):
                best[end] = before + piece
    for filler in _FILLERS:  # the first part may be joined by a letter, too: Auftrag-s-datum
        for cut in range(3, len(word) - 2):
            head, rest = word[:cut], word[cut:]
            if head in known and rest.startswith(filler) and rest.removeprefix(filler) in known and best[-1] is None:
                return head, rest.removeprefix(filler)
    return best[-1] or (word,)
