//! Sets of hash slots.

use std::fmt;

use crate::SlotRange;

const WORDS: usize = SlotSet::COUNT as usize / 64;

/// A set of the hash slots 0–16383.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; WORDS]>);

impl SlotSet {
    /// How many slots a key space has.
    pub const COUNT: u16 = 16_384;

    /// No slot.
    pub fn new() -> Self {
        Self(Box::new([0; WORDS]))
    }

    /// Adds a slot; one that does not exist is not added.
    pub fn insert(&mut self, slot: u16) {
        if let Some(word) = self.0.get_mut(usize::from(slot / 64)) {
            *word |= 1 << (slot % 64);
        }
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: u16) {
        if let Some(word) = self.0.get_mut(usize::from(slot / 64)) {
            *word &= !(1 << (slot % 64));
        }
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: u16) -> bool {
        self.0
            .get(usize::from(slot / 64))
            .is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// How many slots it has.
    pub fn len(&self) -> u16 {
        self.0.iter().map(|word| word.count_ones() as u16).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0..Self::COUNT).filter(|slot| self.contains(*slot))
    }

    /// What is in both.
    pub fn common(&self, other: &Self) -> Self {
        self.combined(other, |one, two| one & two)
    }

    /// What is in this one and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        self.combined(other, |one, two| one & !two)
    }

    /// What is in either.
    pub fn with(&self, other: &Self) -> Self {
        self.combined(other, |one, two| one | two)
    }

    fn combined(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let mut result = Self::new();
        for (word, (one, two)) in result.0.iter_mut().zip(self.0.iter().zip(other.0.iter())) {
            *word = combine(*one, *two);
        }
        result
    }

    /// The set as ranges, ascending, as few as there can be.
    pub fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in self.iter() {
            match ranges.last_mut() {
                Some(range) if range.last + 1 == slot => range.last = slot,
                _ => ranges.push(SlotRange {
                    first: slot,
                    last: slot,
                }),
            }
        }
        ranges
    }

    /// The key space cut into `parts` of which no two differ by more than one slot, ascending.
    pub fn split_evenly(parts: u16) -> Vec<SlotRange> {
        let parts = u32::from(parts.max(1));
        let cut = |part: u32| u16::try_from(part * u32::from(Self::COUNT) / parts).unwrap_or(Self::COUNT);
        (0..parts)
            .map(|part| SlotRange {
                first: cut(part),
                last: cut(part + 1) - 1,
            })
            .collect()
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<SlotRange> for SlotSet {
    fn extend<I: IntoIterator<Item = SlotRange>>(&mut self, ranges: I) {
        for range in ranges {
            for slot in range.first..=range.last {
                self.insert(slot);
            }
        }
    }
}

impl<'a> FromIterator<&'a SlotRange> for SlotSet {
    fn from_iter<I: IntoIterator<Item = &'a SlotRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges.into_iter().copied());
        set
    }
}

impl FromIterator<u16> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut set = Self::new();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.ranges();
        f.debug_list()
            .entries(ranges.iter().map(|range| (range.first, range.last)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16) -> SlotRange {
        SlotRange { first, last }
    }

    #[test]
    fn ranges_come_back_as_they_were_given() {
        let ranges = vec![range(0, 0), range(63, 64), range(100, 16_383)];
        let set: SlotSet = ranges.iter().collect();
        assert_eq!(set.ranges(), ranges);
        assert_eq!(set.len(), 3 + 16_284);
        assert_eq!(SlotSet::from_iter(&[SlotRange::ALL]).len(), SlotSet::COUNT);
        assert!(SlotSet::new().is_empty());
    }

    #[test]
    fn sets_combine() {
        let one: SlotSet = [range(0, 9)].iter().collect();
        let two: SlotSet = [range(5, 14)].iter().collect();
        assert_eq!(one.common(&two).ranges(), [range(5, 9)]);
        assert_eq!(one.without(&two).ranges(), [range(0, 4)]);
        assert_eq!(one.with(&two).ranges(), [range(0, 14)]);
        let mut three = one.clone();
        three.remove(9);
        three.insert(SlotSet::COUNT);
        assert_eq!(three.ranges(), [range(0, 8)]);
    }

    #[test]
    fn the_key_space_is_cut_evenly() {
        for parts in 1..=64 {
            let cut = SlotSet::split_evenly(parts);
            let sizes: Vec<u16> = cut.iter().map(|range| range.last - range.first + 1).collect();
            assert_eq!(sizes.iter().sum::<u16>(), SlotSet::COUNT);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            assert_eq!(cut.iter().collect::<SlotSet>().len(), SlotSet::COUNT);
        }
    }
}
