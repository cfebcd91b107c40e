//! How many units each customer has pending: counted as events become durable, taken off as they are settled.
//!
//! An application that asks Polar for a balance sees nothing of what is still on its way; this is what it has to add.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::{CustomerRef, Units, UnixMillis, rfc3339};
use crate::journal::format::Decimal;

/// Names of events and properties that are counted for one customer. Meters have one or two.
const SUMS_PER_CUSTOMER_MAX: usize = 256;

/// A handle on the counts of an open journal. Clones share them.
#[derive(Clone, Debug)]
pub struct PendingUnits {
    table: Arc<Mutex<Table>>,
}

/// What a customer has pending. As JSON it is the answer to whoever asks.
#[derive(Debug, Serialize)]
pub struct Pending {
    /// Whether this is everything: false while what was found at the start is still being counted, and for a customer
    /// that found no place.
    pub complete: bool,
    /// By the events' names.
    pub pending: Vec<PendingEvents>,
    /// When Polar last confirmed events of the customer, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivery_at: Option<String>,
}

/// The pending events of one name.
#[derive(Debug, Serialize)]
pub struct PendingEvents {
    /// The name.
    pub event: String,
    /// How many.
    pub events: u64,
    /// The sum over each property that holds numbers.
    pub sums: BTreeMap<String, Box<RawValue>>,
    /// Numbers that were too large to be summed.
    pub not_summed: u64,
}

impl PendingUnits {
    pub(in crate::journal) fn new(customers_max: usize) -> Self {
        let table = Table { customers_max, ..Table::default() };
        Self { table: Arc::new(Mutex::new(table)) }
    }

    /// What the customers of these ids have pending, all of them together: an application may go by one of a customer's
    /// two ids in one place and by the other one elsewhere.
    #[must_use]
    pub fn of(&self, customers: &[CustomerRef]) -> Pending {
        let table = self.lock();
        let known: Vec<&Customer> =
            customers.iter().filter_map(|customer| table.customers.get(customer)).collect();
        let all_are_counted = known.len() == customers.len() || table.uncounted == 0;
        let complete = table.is_surveyed
            && !table.has_lost
            && all_are_counted
            && known.iter().all(|customer| customer.uncounted == 0);
        let mut names = BTreeMap::<&str, Named>::new();
        for (name, named) in
            known.iter().flat_map(|customer| &customer.names).filter(|(_, named)| named.events > 0)
        {
            names.entry(name).or_default().add(named);
        }
        let last = known.iter().filter_map(|customer| customer.last_delivery).max();
        Pending {
            complete,
            pending: names.into_iter().map(|(name, named)| named.shown(name)).collect(),
            last_delivery_at: last.map(rfc3339),
        }
    }

    /// Events became pending.
    pub(super) fn add(&self, events: &[Units<'_>]) {
        let mut table = self.lock();
        events.iter().for_each(|units| table.add(units));
    }

    /// Events are pending no more; delivered, where a time says when.
    pub(super) fn take_off(&self, events: &[Units<'_>], delivered: Option<UnixMillis>) {
        let mut table = self.lock();
        events.iter().for_each(|units| table.take_off(units, delivered));
    }

    /// What was pending at the start is counted.
    pub(super) fn surveyed(&self) {
        self.lock().is_surveyed = true;
    }

    /// The disk lost events that were counted: until the next start nothing is complete.
    pub(super) fn lost(&self) {
        self.lock().has_lost = true;
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While anything is uncounted nobody new is let in, and nobody leaves: so whether an event was counted can be told when
/// it is settled, by whether its customer has a place.
#[derive(Debug, Default)]
struct Table {
    customers_max: usize,
    customers: HashMap<CustomerRef, Customer>,
    /// Customers with nothing pending, to give their places to others; some may have become busy again.
    idle: VecDeque<CustomerRef>,
    /// Pending events of customers without a place.
    uncounted: u64,
    is_surveyed: bool,
    has_lost: bool,
}

/// The same rule within a customer, for names and properties.
#[derive(Debug, Default)]
struct Customer {
    names: BTreeMap<String, Named>,
    sums: usize,
    events: u64,
    uncounted: u64,
    last_delivery: Option<UnixMillis>,
    is_listed_idle: bool,
}

#[derive(Debug, Default)]
struct Named {
    events: u64,
    sums: BTreeMap<String, Sum>,
    not_summed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    values: u64,
    total: Decimal,
}

impl Table {
    fn add(&mut self, units: &Units<'_>) {
        if let Some(customer) = self.customers.get_mut(&units.customer) {
            customer.add(units);
        } else if self.uncounted == 0 && self.has_place() {
            let mut customer = Customer::default();
            customer.add(units);
            self.customers.insert(units.customer.clone(), customer);
        } else {
            self.uncounted += 1;
        }
    }

    /// Whether one more customer may come in; where all places are taken, one who has nothing pending goes.
    fn has_place(&mut self) -> bool {
        while self.customers.len() >= self.customers_max {
            let Some(idle) = self.idle.pop_front() else { return false };
            match self.customers.get_mut(&idle) {
                Some(customer) if customer.is_busy() => customer.is_listed_idle = false,
                Some(_) | None => drop(self.customers.remove(&idle)),
            }
        }
        true
    }

    fn take_off(&mut self, units: &Units<'_>, delivered: Option<UnixMillis>) {
        let Some(customer) = self.customers.get_mut(&units.customer) else {
            self.uncounted = self.uncounted.saturating_sub(1);
            return;
        };
        customer.take_off(units);
        customer.last_delivery = delivered.max(customer.last_delivery);
        if !customer.is_busy() && !std::mem::replace(&mut customer.is_listed_idle, true) {
            self.idle.push_back(units.customer.clone());
        }
    }
}

impl Customer {
    fn is_busy(&self) -> bool {
        self.events > 0 || self.uncounted > 0
    }

    fn add(&mut self, units: &Units<'_>) {
        if !self.has_room(units) {
            self.uncounted += 1;
            return;
        }
        self.events += 1;
        let named = self.names.entry(units.name.clone().into_owned()).or_default();
        named.events += 1;
        for (property, number) in &units.numbers {
            let Some(value) = Decimal::read(number) else {
                named.not_summed += 1;
                continue;
            };
            let sum = named.sums.entry(property.clone()).or_insert_with(|| {
                self.sums += 1;
                Sum::default()
            });
            sum.values += 1;
            sum.total = sum.total.plus(value);
        }
    }

    /// Whether everything the event names is known, or may still come in.
    fn has_room(&self, units: &Units<'_>) -> bool {
        let named = self.names.get(units.name.as_ref());
        let is_known = |property: &str| named.is_some_and(|named| named.sums.contains_key(property));
        let new = units.numbers.iter().filter(|(property, _)| !is_known(property)).count()
            + usize::from(named.is_none());
        new == 0 || (self.uncounted == 0 && self.sums + self.names.len() + new <= SUMS_PER_CUSTOMER_MAX)
    }

    fn take_off(&mut self, units: &Units<'_>) {
        let is_counted = self.names.get(units.name.as_ref()).is_some_and(|named| {
            let is_known = |(property, number): &(String, &str)| {
                Decimal::read(number).is_none() || named.sums.contains_key(property)
            };
            named.events > 0 && units.numbers.iter().all(is_known)
        });
        let Some(named) = self.names.get_mut(units.name.as_ref()).filter(|_| is_counted) else {
            self.uncounted = self.uncounted.saturating_sub(1);
            return;
        };
        self.events = self.events.saturating_sub(1);
        named.events = named.events.saturating_sub(1);
        for (property, number) in &units.numbers {
            match (Decimal::read(number), named.sums.get_mut(property)) {
                (Some(value), Some(sum)) => {
                    sum.values = sum.values.saturating_sub(1);
                    sum.total = sum.total.minus(value);
                }
                (Some(_), None) => {}
                (None, _) => named.not_summed = named.not_summed.saturating_sub(1),
            }
        }
        if self.uncounted == 0 {
            let before = named.sums.len();
            named.sums.retain(|_, sum| sum.values > 0);
            self.sums -= before - named.sums.len();
            if named.events == 0 {
                self.names.remove(units.name.as_ref());
            }
        }
    }
}

impl Named {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.not_summed += other.not_summed;
        for (property, sum) in other.sums.iter().filter(|(_, sum)| sum.values > 0) {
            let total = self.sums.entry(property.clone()).or_default();
            total.total = total.total.plus(sum.total);
        }
    }

    fn shown(self, name: &str) -> PendingEvents {
        // A decimal is always a JSON number.
        let number = |sum: Sum| RawValue::from_string(sum.total.to_string()).unwrap_or_default();
        PendingEvents {
            event: name.to_owned(),
            events: self.events,
            sums: self.sums.into_iter().map(|(property, sum)| (property, number(sum))).collect(),
            not_summed: self.not_summed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(customer: &str, name: &str, metadata: &str) -> String {
        format!(r#"{{"name":"{name}","external_customer_id":"{customer}","metadata":{{{metadata}}}}}"#)
    }

    fn add(units: &PendingUnits, text: &str) {
        units.add(&[Units::read(text.as_bytes()).unwrap()]);
    }

    fn take_off(units: &PendingUnits, text: &str) {
        units.take_off(&[Units::read(text.as_bytes()).unwrap()], Some(1_789_302_400_000));
    }

    fn of(units: &PendingUnits, customer: &str) -> String {
        serde_json::to_string(&units.of(&[CustomerRef::External(customer.to_owned())])).unwrap()
    }

    #[test]
    fn units_are_summed_by_name_and_property_and_leave_nothing_behind() {
        let units = PendingUnits::new(10);
        units.surveyed();
        let events = [
            event("c", "api_usage", r#""units":-10"#),
            event("c", "api_usage", r#""units":0.1,"tokens":300"#),
            event("c", "api_usage", r#""units":0.2,"note":"5""#),
            event("c", "other", r#""units":1e300,"_cost":{"amount":0.25,"currency":"usd"}"#),
            event("d", "api_usage", r#""units":7"#),
        ];
        events.iter().for_each(|text| add(&units, text));
        assert_eq!(
            of(&units, "c"),
            r#"{"complete":true,"pending":[{"event":"api_usage","events":3,"sums":{"tokens":300,"units":-9.7},"not_summed":0},{"event":"other","events":1,"sums":{"_cost.amount":0.25},"not_summed":1}]}"#
        );
        events.iter().for_each(|text| take_off(&units, text));
        assert_eq!(
            of(&units, "c"),
            r#"{"complete":true,"pending":[],"last_delivery_at":"2026-09-13T12:26:40.000Z"}"#
        );
        assert_eq!(of(&units, "nobody"), r#"{"complete":true,"pending":[]}"#);
    }

    #[test]
    fn both_ids_of_a_customer_can_be_asked_for_together() {
        let units = PendingUnits::new(10);
        units.surveyed();
        let id = "9f1c2d3e-4b5a-4c6d-8e7f-0a1b2c3d4e5f";
        add(&units, &event("c", "a", r#""units":1"#));
        add(&units, &format!(r#"{{"name":"a","customer_id":"{id}","metadata":{{"units":2}}}}"#));
        let both = [CustomerRef::External("c".to_owned()), CustomerRef::of_polar(id).unwrap()];
        let both = serde_json::to_string(&units.of(&both)).unwrap();
        assert!(both.contains(r#""events":2,"sums":{"units":3}"#), "{both}");
    }

    #[test]
    fn one_customer_too_many_is_told_that_its_count_is_not_complete_until_it_is_again() {
        let units = PendingUnits::new(2);
        units.surveyed();
        for customer in ["a", "b", "c"] {
            add(&units, &event(customer, "n", r#""units":1"#));
        }
        assert!(of(&units, "a").starts_with(r#"{"complete":true,"pending":[{"#));
        assert_eq!(of(&units, "c"), r#"{"complete":false,"pending":[]}"#);
        // A place is free, but an event of `c` is uncounted: whoever came in now could not be told apart when it settles.
        take_off(&units, &event("a", "n", r#""units":1"#));
        add(&units, &event("c", "n", r#""units":1"#));
        assert!(of(&units, "c").starts_with(r#"{"complete":false"#));
        take_off(&units, &event("c", "n", r#""units":1"#));
        take_off(&units, &event("c", "n", r#""units":1"#));
        add(&units, &event("c", "n", r#""units":5"#));
        assert!(
            of(&units, "c")
                .contains(r#"{"complete":true,"pending":[{"event":"n","events":1,"sums":{"units":5}"#)
        );
        assert!(
            of(&units, "b").contains(r#""sums":{"units":1}"#),
            "who has something pending keeps his place"
        );
    }

    #[test]
    fn before_the_survey_is_done_nothing_counts_as_complete() {
        let units = PendingUnits::new(2);
        add(&units, &event("a", "n", r#""units":1"#));
        assert!(of(&units, "a").starts_with(r#"{"complete":false,"pending":[{"#));
    }

    proptest! {
        /// Whatever comes and goes in whatever order, where the answer says that it is complete it is right.
        #[test]
        fn a_complete_answer_is_right(
            steps in proptest::collection::vec((any::<bool>(), 0..6_usize, 0..3_usize, 0..400_usize, -5..5_i64), 0..400),
        ) {
            let units = PendingUnits::new(3);
            units.surveyed();
            let mut pending: Vec<(String, usize, i64)> = Vec::new();
            for (arrives, customer, name, property, value) in steps {
                if arrives || pending.is_empty() {
                    let property = if customer == 0 { property } else { 0 };
                    let text = event(&format!("c{customer}"), &format!("n{name}"), &format!(r#""p{property}":{value}"#));
                    add(&units, &text);
                    pending.push((text, customer, value));
                } else {
                    let (text, ..) = pending.swap_remove(property % pending.len());
                    take_off(&units, &text);
                }
                for customer in 0..6 {
                    let answer = units.of(&[CustomerRef::External(format!("c{customer}"))]);
                    if answer.complete {
                        let mine = pending.iter().filter(|(_, of, _)| *of == customer);
                        let (events, sum) = mine.fold((0, 0), |(events, sum), (.., value)| (events + 1, sum + value));
                        prop_assert_eq!(answer.pending.iter().map(|named| named.events).sum::<u64>(), events);
                        let sums = answer.pending.iter().flat_map(|named| named.sums.values());
                        prop_assert_eq!(sums.map(|sum| sum.get().parse::<i64>().unwrap()).sum::<i64>(), sum);
                    }
                }
            }
            for (text, ..) in pending.drain(..) {
                take_off(&units, &text);
            }
            prop_assert_eq!(units.lock().uncounted, 0);
            prop_assert!(units.lock().customers.values().all(|customer| !customer.is_busy() && customer.sums == 0));
        }
    }
}
