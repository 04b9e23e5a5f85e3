//! Which slots go where: as few as possible, until all shards have the same number.

use pilothouse_model::SlotSet;

/// Slots that are moved in one step: enough that a pass over the cluster does not count, few enough that one step is short.
pub(super) const AT_ONCE: usize = 128;

/// What a shard owns.
pub(super) struct Share {
    /// Its slots.
    pub(super) slots: SlotSet,
    /// It is to own nothing.
    pub(super) leaving: bool,
}

/// Slots on their way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Move {
    /// The share that they leave.
    pub(super) from: usize,
    /// The share that they go to.
    pub(super) to: usize,
    /// Which.
    pub(super) slots: Vec<u16>,
}

/// The next slots that must move; `None` when no two shards differ by more than one slot and the leaving ones are empty.
pub(super) fn next_move(shares: &[Share]) -> Option<Move> {
    let quotas = quotas(shares);
    let owned = |at: usize| shares.get(at).map_or(0, |share| share.slots.len());
    let surplus = |at: usize| owned(at).saturating_sub(quotas.get(at).copied().unwrap_or(0));
    let lack = |at: usize| quotas.get(at).copied().unwrap_or(0).saturating_sub(owned(at));
    let from = (0..shares.len()).max_by_key(|at| (surplus(*at), std::cmp::Reverse(*at)))?;
    let to = (0..shares.len()).max_by_key(|at| (lack(*at), std::cmp::Reverse(*at)))?;
    let count = usize::from(surplus(from).min(lack(to))).min(AT_ONCE);
    let slots: Vec<u16> = shares.get(from)?.slots.iter().take(count).collect();
    (!slots.is_empty()).then_some(Move { from, to, slots })
}

/// How many slots each shard shall own. What does not divide evenly stays with those that have most, so that it need not move.
fn quotas(shares: &[Share]) -> Vec<u16> {
    let mut staying: Vec<usize> = (0..shares.len())
        .filter(|at| shares.get(*at).is_some_and(|share| !share.leaving))
        .collect();
    let mut quotas = vec![0; shares.len()];
    let total: u16 = shares.iter().map(|share| share.slots.len()).sum();
    let Some(count) = u16::try_from(staying.len()).ok().filter(|count| *count > 0) else {
        return quotas;
    };
    staying.sort_by_key(|at| std::cmp::Reverse(shares.get(*at).map_or(0, |share| share.slots.len())));
    for (rank, at) in (0_u16..).zip(staying) {
        if let Some(quota) = quotas.get_mut(at) {
            *quota = total / count + u16::from(rank < total % count);
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(owned: &[(u16, bool)]) -> Vec<Share> {
        let mut next = 0;
        owned
            .iter()
            .map(|(count, leaving)| {
                let slots = (next..next + count).collect();
                next += count;
                Share {
                    slots,
                    leaving: *leaving,
                }
            })
            .collect()
    }

    /// Carries every move out; gives how many slots moved and what each shard has in the end.
    fn settle(mut shares: Vec<Share>) -> (usize, Vec<u16>) {
        let mut moved = 0;
        while let Some(next) = next_move(&shares) {
            moved += next.slots.len();
            assert!(moved <= usize::from(SlotSet::COUNT), "it does not end");
            for slot in next.slots {
                shares[next.from].slots.remove(slot);
                shares[next.to].slots.insert(slot);
            }
        }
        (moved, shares.iter().map(|share| share.slots.len()).collect())
    }

    #[test]
    fn no_slot_moves_without_need() {
        assert_eq!(next_move(&shares(&[(5461, false), (5461, false), (5462, false)])), None);
        assert_eq!(
            settle(shares(&[(8192, false), (8192, false), (0, false), (0, false)])),
            (8192, vec![4096; 4])
        );
        let (moved, left) = settle(shares(&[(4096, false), (4096, false), (4096, false), (4096, true)]));
        assert_eq!((moved, left), (4096, vec![5462, 5461, 5461, 0]));
        assert_eq!(next_move(&shares(&[(100, true)])), None, "there is nowhere to go");
    }

    proptest! {
        #[test]
        fn it_always_ends_even(cuts in prop::collection::vec((0_u16..1365, any::<bool>()), 1..12)) {
            let all = shares(&cuts);
            let staying = cuts.iter().filter(|(_, leaving)| !leaving).count();
            let (_, left) = settle(all);
            let kept: Vec<u16> = left.iter().zip(&cuts).filter(|(_, (_, leaving))| !leaving).map(|(left, _)| *left).collect();
            if staying > 0 {
                prop_assert!(kept.iter().max().unwrap() - kept.iter().min().unwrap() <= 1);
                prop_assert_eq!(kept.iter().map(|slots| u32::from(*slots)).sum::<u32>(), cuts.iter().map(|(slots, _)| u32::from(*slots)).sum::<u32>());
            }
        }
    }
}
