"""Simulated behaviour, month by month: bills, faults, clicks, campaigns, purchases, and who leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from features.simulate import campaigns
from features.simulate.arrays import NEVER, Flags, Floats, Ints, stacked
from features.simulate.calendar import DAY, Calendar, by_day
from features.simulate.clicks import CANCEL_HELP, PRODUCT_PAGES, browse
from features.simulate.consents import Consents
from features.simulate.hazard import Mood, contact_effect, hazard, late_probability, next_mood
from features.simulate.history import (
    Answers,
    Bills,
    Clicks,
    Contacts,
    Hazards,
    Holdings,
    Prospects,
    Purchases,
    SimulatedHistory,
    Tickets,
)
from features.simulate.people import People
from features.simulate.places import Places
from features.simulate.products import GROUPS, HELD, PRICES, affinity, product_for
from features.simulate.tickets import CATEGORIES, category_of

SENT_AFTER = 2 * DAY  # campaigns go out when the bill has been read
OUTAGE = 0.03  # share of the districts whose network fails in a month
DROPPED = 0.006  # monthly probability of ending one subscription and keeping the others
END_OF_PROMOTION = 0.10
TERMS = np.array([12, 18, 24])
PACE = np.array([group.pace for group in GROUPS])


@dataclass
class _Simulation:
    """State of all customers, changed by each month."""

    people: People
    places: Places
    calendar: Calendar
    consents: Consents
    joined_at: Ints
    rng: np.random.Generator
    bills: list[Bills] = field(default_factory=list)
    tickets: list[Tickets] = field(default_factory=list)
    clicks: list[Clicks] = field(default_factory=list)
    purchases: list[Purchases] = field(default_factory=list)
    holdings: list[Holdings] = field(default_factory=list)
    contacts: list[Contacts] = field(default_factory=list)
    answers: list[Answers] = field(default_factory=list)
    hazards: list[Hazards] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.people)
        self.affinity = affinity()
        self.live = np.zeros(count, bool)
        self.left_at = np.full(count, NEVER)
        self.since = np.zeros((count, HELD), np.int64)  # 0: not held
        self.product = np.zeros((count, HELD), np.int64)
        self.price = np.zeros((count, HELD))
        self.first_price = np.zeros((count, HELD))
        self.lately = np.zeros((count, len(GROUPS) - HELD))
        self.contract_left = self.rng.integers(-14, 24, count)
        self.mood = Mood(*(np.zeros(count) for _ in range(3)))
        self._begin()

    @property
    def held(self) -> Flags:
        return self.since > 0

    @property
    def have(self) -> Floats:
        return np.hstack([self.held.astype(float), self.lately])

    def tenure(self, period: int) -> Ints:
        result: Ints = np.maximum(self.people.tenure + period - self.people.joins, 0)
        return result

    def _begin(self) -> None:
        """Give the customers who joined before the simulation their subscriptions."""
        old = self.people.holder & (self.people.joins == 0)
        months = np.minimum(self.people.tenure, 48)[:, None]
        probability = -np.expm1(-0.7 * PACE[:HELD] * np.exp(self.people.taste[:, :HELD]) * months)
        take = old[:, None] & (self.rng.random(probability.shape) < probability)
        take[np.arange(len(old)), self._core()] |= old
        who, group = np.nonzero(take)
        span = np.maximum(self.calendar.start - self.joined_at[who], DAY)
        at = self.joined_at[who] + (self.rng.random(len(who)) * 0.9 * span).astype(np.int64)
        self._subscribe(who, group, at)

    def _core(self) -> Ints:
        """Return the first subscription of each person: mostly broadband or a mobile plan."""
        wish = np.log(PACE[:HELD]) + self.people.taste[:, :HELD] + self.rng.gumbel(0, 0.5, (len(self.people), HELD))
        wish[:, :2] += 1.5
        result: Ints = wish.argmax(axis=1)
        return result

    def _subscribe(self, who: Ints, group: Ints, at: Ints) -> Ints:
        product = product_for(group, means=self.people.means[who], uniform=self.rng.random(len(who)))
        self.since[who, group] = at
        self.product[who, group] = product
        self.first_price[who, group] = self.price[who, group] = PRICES[product]
        return product

    def _end(self, who: Ints, group: Ints, at: Ints) -> None:
        self.holdings.append(
            Holdings(who, self.product[who, group], self.since[who, group], at, self.first_price[who, group])
        )
        self.since[who, group] = 0

    def month(self, period: int) -> None:
        """Simulate one month for all customers."""
        people, rng, count = self.people, self.rng, len(self.people)
        at = self.calendar.billed_at(period, people.billing_day)
        until = self.calendar.billed_at(period + 1, people.billing_day)
        new = people.holder & (people.joins == period)
        self.live |= new
        if period:
            self._welcome(np.flatnonzero(new))
        rise = self._raise_prices(period)
        late = rng.random(count) < late_probability(self.mood, strain=people.strain)
        self._bill(at, late)
        outage = (rng.random(len(self.places.town)) < OUTAGE)[people.district] & self.held[:, 0]
        unsolved = self._complain(at, until, outage, late)
        self.mood = next_mood(
            self.mood, rise=rise, unsolved=unsolved, outage=outage, late=late,
            thrift=people.thrift, impatience=people.impatience, rng=rng,
        )  # fmt: skip
        sent = by_day(at + SENT_AFTER, uniform=rng.random(count))
        open_to = self.live & self.consents.allows("marketing", at=sent)
        drawn = campaigns.draw(
            open_to=open_to, held=self.held, contract_left=self.contract_left, tenure=self.tenure(period), rng=rng
        )
        keep = drawn.treated & campaigns.RETENTION[drawn.offer]
        contacted = np.zeros(count, bool)
        contacted[drawn.person[keep]] = True
        risk = self._risk(period, contact_effect(contacted, sleeping_dog=people.sleeping_dog))
        self._note_hazard(period, at, risk)
        leaving = self.live & (rng.random(count) < risk)
        decided = np.where(leaving, at + (rng.random(count) * 0.85 * (until - at)).astype(np.int64), NEVER)
        taken = self._respond(drawn, sent, until, decided)
        self._browse(at, until, leaving, decided, taken)
        self._ask(at, until)
        self._leave(leaving, decided, until)
        self.contract_left = self.contract_left - 1

    def _welcome(self, who: Ints) -> None:
        group = self._core()[who]
        bought = self.joined_at[who]
        product = self._subscribe(who, group, bought)
        self.contract_left[who] = self.rng.choice(TERMS, len(who))
        self.purchases.append(Purchases(who, bought, group, product))

    def _raise_prices(self, period: int) -> Floats:
        spring = self.calendar.month_of_year(period) == 4
        yearly = self.rng.choice([0.0, 0.04, 0.07, 0.11], len(self.people), p=[0.2, 0.3, 0.3, 0.2]) * spring
        rise = np.where(self.live, yearly + END_OF_PROMOTION * (self.contract_left == 0), 0.0)
        self.price *= 1 + rise[:, None]
        return rise

    def _bill(self, at: Ints, late: Flags) -> None:
        who = np.flatnonzero(self.live)
        rng, count = self.rng, len(who)
        extras = np.where(rng.random(count) < 0.3, rng.gamma(1.5, 4.0, count), 0.0)
        log_use = 3.4 + 0.6 * np.log(self.people.engagement[who]) + 0.6 * self.mood.use[who]
        usage: Floats = np.exp(log_use - 0.2 * self.mood.discontent[who] + rng.normal(0, 0.22, count))
        early = -rng.integers(0, 12, count)
        self.bills.append(
            Bills(
                person=who,
                at=at[who],
                amount=np.round((self.price * self.held).sum(axis=1)[who] + extras, 2),
                usage=usage.round(1),
                contract_left=np.maximum(self.contract_left[who], 0),
                late_days=np.where(late[who], 1 + rng.poisson(11, count), early),
            )
        )

    def _complain(self, at: Ints, until: Ints, outage: Flags, late: Flags) -> Ints:
        """Open the month's tickets; return how many of each person stay unsolved."""
        rng, mood = self.rng, self.mood
        rate = 0.04 + 0.04 * late + 0.05 * mood.discontent.clip(0, 3)
        rate = np.where(self.live, rate * self.people.impatience + 0.35 * outage, 0.02 * ~self.people.holder)
        who = np.repeat(np.arange(len(rate)), rng.poisson(rate))
        opened = by_day(
            at[who] + (rng.random(len(who)) * (until - at)[who]).astype(np.int64), uniform=rng.random(len(who))
        )
        slow = rng.random(len(who)) < 0.28
        took = np.where(slow, rng.uniform(18, 75, len(who)), rng.exponential(1.6, len(who)) + 0.05)
        category = category_of(
            outage=outage[who], late=late[who], holder=self.people.holder[who], uniform=rng.random(len(who))
        )
        self.tickets.append(Tickets(who, opened, category, opened + (took * DAY).astype(np.int64)))
        return np.bincount(who[slow], minlength=len(rate))

    def _risk(self, period: int, contact: Floats) -> Floats:
        people = self.people
        return hazard(
            self.mood, contract_left=self.contract_left, tenure=self.tenure(period), products=self.held.sum(axis=1),
            rival_pull=self.places.rival_pull[people.district] * self.held[:, 0], frailty=people.frailty,
            contact=contact,
        )  # fmt: skip

    def _note_hazard(self, period: int, at: Ints, risk: Floats) -> None:
        who = np.flatnonzero(self.live)
        self.hazards.append(Hazards(who, np.full(len(who), period), at[who], risk[who]))

    def _pace(self) -> Floats:
        return campaigns.pace(taste=self.people.taste, have=self.have, affinity=self.affinity, base=PACE)

    def _respond(self, drawn: campaigns.Draw, sent: Ints, until: Ints, decided: Ints) -> Purchases:
        """Simulate purchases and renewals, with and without an offer."""
        rng, people, count = self.rng, self.people, len(self.people)
        rate = self._pace()
        probability = -np.expm1(-campaigns.lifted(rate, drawn, responsiveness=people.responsiveness))
        moment = sent[:, None] + 600 + (rng.random(probability.shape) * (until - sent - DAY)[:, None]).astype(np.int64)
        took = self.live[:, None] & (rng.random(probability.shape) < probability) & (moment < decided[:, None])

        retention = campaigns.RETENTION[drawn.offer]
        kept = campaigns.lift(drawn.offer, responsiveness=people.responsiveness[drawn.person])
        addition = np.zeros(count)
        addition[drawn.person] = np.where(retention & drawn.treated, kept, 0.0)
        renew_without, renew_with = (
            campaigns.renewal(contract_left=self.contract_left, added=extra, sleeping_dog=people.sleeping_dog)
            for extra in (np.zeros(count), addition)
        )
        renewed_at = sent + 600 + (rng.random(count) * (until - sent - DAY)).astype(np.int64)
        renewed = self.live & (rng.random(count) < renew_with) & (renewed_at < decided)

        group = campaigns.group_of(drawn.offer)
        who = drawn.person
        did = np.where(retention, renewed[who], took[who, group])
        self.contacts.append(
            Contacts(
                person=who, at=sent[who], offer=drawn.offer, treated=drawn.treated, selection_prob=drawn.selection_prob,
                responded_at=np.where(did, np.where(retention, renewed_at[who], moment[who, group]), NEVER),
                without=np.where(retention, renew_without[who], -np.expm1(-rate[who, group])),
                with_offer=np.where(
                    retention, self._renewing(drawn, kept), -np.expm1(-rate[who, group] * np.exp(kept))
                ),
            )
        )  # fmt: skip
        self.contract_left[renewed] = 24
        self.price[renewed] *= 1 - END_OF_PROMOTION
        return self._buy(took, moment)

    def _renewing(self, drawn: campaigns.Draw, lift: Floats) -> Floats:
        """Return the probability of renewing had the offer been made, for the held-back people too."""
        who = drawn.person
        return campaigns.renewal(
            contract_left=self.contract_left[who], added=lift, sleeping_dog=self.people.sleeping_dog[who]
        )

    def _buy(self, took: Flags, moment: Ints) -> Purchases:
        who, group = np.nonzero(took)
        at = moment[who, group]
        product = product_for(group, means=self.people.means[who], uniform=self.rng.random(len(who)))
        bought = Purchases(who, at, group, product)
        self.purchases.append(bought)
        kept = group < HELD
        self.product[who[kept], group[kept]] = product[kept]
        self.since[who[kept], group[kept]] = at[kept]
        self.price[who[kept], group[kept]] = self.first_price[who[kept], group[kept]] = PRICES[product[kept]]
        self.lately *= 0.6
        self.lately[who[~kept], group[~kept] - HELD] = 1.0
        return bought

    def _browse(self, at: Ints, until: Ints, leaving: Flags, decided: Ints, bought: Purchases) -> None:
        rng, people = self.rng, self.people
        lively = self.live * 2.2 * people.engagement * np.exp(0.5 * self.mood.use)
        wish = PACE * np.exp(0.8 * (people.taste + self.have @ self.affinity))
        clicks = browse(lively, wish=wish, at=at, until=until, rng=rng)
        self.clicks.append(_chosen_before(clicks, decided + 3 * DAY * (decided != NEVER)))
        worry = self.live * (0.012 + 0.12 * expit(1.6 * (self.mood.discontent - 2.2)))
        who = np.repeat(np.arange(len(at)), rng.poisson(worry))
        when = at[who] + (rng.random(len(who)) * (until - at)[who]).astype(np.int64)
        self.clicks.append(Clicks(who, when, np.full(len(who), CANCEL_HELP)))
        goers = np.repeat(np.flatnonzero(leaving), rng.poisson(0.5, int(leaving.sum())))
        when = decided[goers] - (rng.exponential(2.0, len(goers)) * DAY).astype(np.int64)
        self.clicks.append(Clicks(goers, when, np.full(len(goers), CANCEL_HELP)))
        looks = np.repeat(np.arange(len(bought.person)), rng.poisson(0.9, len(bought.person)))
        when = bought.at[looks] - (rng.exponential(5.0, len(looks)) * DAY).astype(np.int64) - 300
        self.clicks.append(Clicks(bought.person[looks], when, PRODUCT_PAGES + bought.group[looks]))

    def _ask(self, at: Ints, until: Ints) -> None:
        who = np.flatnonzero(self.live & (self.rng.random(len(at)) < 0.025))
        when = by_day(
            at[who] + (self.rng.random(len(who)) * (until - at)[who]).astype(np.int64),
            uniform=self.rng.random(len(who)),
        )
        score = np.round(8.3 - 1.2 * self.mood.discontent[who] + self.rng.normal(0, 1.5, len(who))).clip(0, 10)
        self.answers.append(Answers(who, when, score.astype(np.int64)))

    def _leave(self, leaving: Flags, decided: Ints, until: Ints) -> None:
        """End the subscriptions that are cancelled, with their billing period: on the day before the next bill."""
        last = until // DAY * DAY - DAY // 2
        say = np.flatnonzero(leaving & (self.rng.random(len(leaving)) < 0.35))
        asked = decided[say] // DAY * DAY + 12 * 3_600
        cancel = np.full(len(say), CATEGORIES.index("cancellation"))
        self.tickets.append(Tickets(say, asked, cancel, asked + 2 * DAY))
        several = self.held.sum(axis=1) > 1
        drop = self.held & (self.live & several & ~leaving)[:, None]
        drop &= self.rng.random(drop.shape) < DROPPED * np.exp(-0.4 * self.people.taste[:, :HELD])
        drop[drop.sum(axis=1) >= self.held.sum(axis=1)] = False  # who keeps no subscription would have left
        who, group = np.nonzero(drop | (self.held & leaving[:, None]))
        self._end(who, group, last[who])
        self.left_at = np.where(leaving, last, self.left_at)
        self.live &= ~leaving

    def finished(self) -> SimulatedHistory:
        """Return everything that happened up to the end."""
        prospects = self._prospects()
        who, group = np.nonzero(self.held)
        self._end(who, group, np.full(len(who), NEVER))
        return SimulatedHistory(
            joined_at=self.joined_at, left_at=self.left_at, bills=stacked(self.bills), tickets=stacked(self.tickets),
            clicks=stacked(self.clicks), purchases=stacked(self.purchases), holdings=stacked(self.holdings),
            contacts=stacked(self.contacts), answers=stacked(self.answers), hazards=stacked(self.hazards),
            prospects=prospects,
        )  # fmt: skip

    def _prospects(self) -> Prospects:
        people, who, last = self.people, np.flatnonzero(self.live), self.calendar.months
        without, count = self._pace(), len(self.people)
        calm = self._risk(last, np.zeros(count))
        parts = []
        for number, offer in enumerate(campaigns.OFFERS):
            code = np.full(count, number)
            lift = campaigns.lift(code, responsiveness=people.responsiveness)
            if offer.group is None:
                before, after = (
                    campaigns.renewal(contract_left=self.contract_left, added=extra, sleeping_dog=people.sleeping_dog)
                    for extra in (np.zeros(count), lift)
                )
                risk = self._risk(last, contact_effect(np.ones(count, bool), sleeping_dog=people.sleeping_dog))
            else:
                rate = without[:, campaigns.group_of(code)[0]]
                before, after, risk = -np.expm1(-rate), -np.expm1(-rate * np.exp(lift)), calm
            parts.append(Prospects(who, code[who], before[who], after[who], calm[who], risk[who]))
        return stacked(parts)


def _chosen_before(clicks: Clicks, limit: Ints) -> Clicks:
    keep = clicks.at < limit[clicks.person]
    return Clicks(clicks.person[keep], clicks.at[keep], clicks.page[keep])


def simulate_behaviour(
    people: People, *, places: Places, calendar: Calendar, consents: Consents, joined_at: Ints, rng: np.random.Generator
) -> SimulatedHistory:
    """Return what all customers do in the simulated months.

    Parameters
    ----------
    people : who they are
    places : where they live, with the network's failures and the competitor's pull
    calendar : the months
    consents : who may be contacted
    joined_at : when each became a customer, seconds since 1970
    rng : random generator
    """
    simulation = _Simulation(people, places, calendar, consents, joined_at, rng)
    for period in range(calendar.months):
        simulation.month(period)
    return simulation.finished()
