//! Who waits for whom, as rows in depth-first order. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A place in the drawing: which session, how deep, how many wait for it directly or through others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) pid: i32,
    pub(crate) depth: u32,
    pub(crate) blocks: usize,
}

/// Places every session once: those who block and wait for nobody first (who blocks most at the top), each
/// followed by its waiters; then waiters whose blocker is not to be seen or who wait in a circle; then the rest.
/// Sessions come in the order that decides among equals (the oldest query first). A waiter with several blockers
/// stands below the one that is nearest to a root.
pub(crate) fn draw(sessions: &[(i32, Vec<i32>)]) -> Vec<Placed> {
    let order: HashMap<i32, usize> = sessions.iter().enumerate().map(|(at, (pid, _))| (*pid, at)).collect();
    let blockers: BTreeMap<i32, BTreeSet<i32>> = sessions
        .iter()
        .map(|(pid, by)| {
            (*pid, by.iter().copied().filter(|by| by != pid && order.contains_key(by)).collect())
        })
        .collect();
    let mut waiters: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, _) in sessions {
        for blocker in &blockers[pid] {
            waiters.entry(*blocker).or_default().push(*pid);
        }
    }
    let blocks: HashMap<i32, usize> = order.keys().map(|pid| (*pid, waiting_for(*pid, &waiters))).collect();
    let mut starts: Vec<i32> = sessions.iter().map(|(pid, _)| *pid).collect();
    starts.sort_by_key(|pid| {
        let waits = sessions[order[pid]].1.iter().any(|by| by != pid);
        let blocking = blocks[pid];
        let class = match (blocking > 0, waits) {
            (true, false) => 0,
            (_, true) => 1,
            (false, false) => 2,
        };
        (class, std::cmp::Reverse(blocking), order[pid])
    });
    let children = nearest_to_a_root(&starts, &waiters, &blockers);
    let mut placed = Vec::with_capacity(sessions.len());
    let mut seen = BTreeSet::new();
    for start in starts {
        place(start, 0, &children, &blocks, &order, &mut seen, &mut placed);
    }
    placed
}

/// Each waiter below one blocker: breadth first from the roots, all roots at once, so that nobody stands deeper
/// than need be; circles are entered at their first member.
fn nearest_to_a_root(
    starts: &[i32],
    waiters: &BTreeMap<i32, Vec<i32>>,
    blockers: &BTreeMap<i32, BTreeSet<i32>>,
) -> BTreeMap<i32, Vec<i32>> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut seen: BTreeSet<i32> = BTreeSet::new();
    let roots: Vec<i32> = starts.iter().copied().filter(|pid| blockers[pid].is_empty()).collect();
    let waves = std::iter::once(roots).chain(starts.iter().map(|pid| vec![*pid]));
    for wave in waves {
        let mut queue: VecDeque<i32> = wave.into_iter().filter(|pid| seen.insert(*pid)).collect();
        while let Some(pid) = queue.pop_front() {
            for waiter in waiters.get(&pid).into_iter().flatten() {
                if seen.insert(*waiter) {
                    children.entry(pid).or_default().push(*waiter);
                    queue.push_back(*waiter);
                }
            }
        }
    }
    children
}

fn place(
    start: i32,
    depth: u32,
    children: &BTreeMap<i32, Vec<i32>>,
    blocks: &HashMap<i32, usize>,
    order: &HashMap<i32, usize>,
    seen: &mut BTreeSet<i32>,
    placed: &mut Vec<Placed>,
) {
    // A stack of our own: a queue of thousands of waiters is no reason to overflow the thread's.
    let mut stack = vec![(start, depth)];
    while let Some((pid, depth)) = stack.pop() {
        if !seen.insert(pid) {
            continue;
        }
        placed.push(Placed { pid, depth, blocks: blocks[&pid] });
        let mut below = children.get(&pid).cloned().unwrap_or_default();
        below.sort_by_key(|pid| std::cmp::Reverse(order[pid]));
        stack.extend(below.into_iter().map(|pid| (pid, depth + 1)));
    }
}

fn waiting_for(pid: i32, waiters: &BTreeMap<i32, Vec<i32>>) -> usize {
    let mut seen = BTreeSet::from([pid]);
    let mut queue = vec![pid];
    while let Some(pid) = queue.pop() {
        queue.extend(waiters.get(&pid).into_iter().flatten().filter(|waiter| seen.insert(**waiter)));
    }
    seen.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pid` or `pid<blocker,blocker` in the order of age → `depth:pid/blocks`.
    fn check(sessions: &str, expected: &str) {
        let sessions: Vec<(i32, Vec<i32>)> = sessions
            .split_whitespace()
            .map(|session| {
                let (pid, by) = session.split_once('<').unwrap_or((session, ""));
                let by = by.split(',').filter(|by| !by.is_empty()).map(|by| by.parse().unwrap()).collect();
                (pid.parse().unwrap(), by)
            })
            .collect();
        let drawn: Vec<String> = draw(&sessions)
            .iter()
            .map(|placed| format!("{}:{}/{}", placed.depth, placed.pid, placed.blocks))
            .collect();
        assert_eq!(drawn.join(" "), expected, "{sessions:?}");
    }

    #[test]
    fn drawings() {
        // Nobody waits: the order of age.
        check("3 1 2", "0:3/0 0:1/0 0:2/0");
        // A chain; the root comes first although it is the youngest.
        check("9 3<2 2<1 1", "0:1/2 1:2/1 2:3/0 0:9/0");
        // Two roots: who blocks more is first; waiters in the order of age.
        check("1 2 4<2 5<2 3<1", "0:2/2 1:4/0 1:5/0 0:1/1 1:3/0");
        // Two blockers: below the nearer to a root, once.
        check("1 2<1 3<1,2", "0:1/2 1:2/1 1:3/0");
        check("1 9 2<1 3<2,9", "0:1/2 1:2/1 0:9/1 1:3/0");
        // Circles end, with and without someone outside.
        check("1<2 2<1", "0:1/1 1:2/1");
        check("1<2 2<1 3<2 4", "0:1/2 1:2/2 2:3/0 0:4/0");
        check("5<5", "0:5/0");
        // The blocker cannot be seen (a prepared transaction, or gone a moment ago).
        check("7 8<99", "0:8/0 0:7/0");
        check("", "");
    }

    #[test]
    fn a_very_long_queue_is_drawn() {
        let sessions: Vec<(i32, Vec<i32>)> =
            (1..=2_000).map(|pid| (pid, if pid > 1 { vec![pid - 1] } else { vec![] })).collect();
        let drawn = draw(&sessions);
        assert_eq!((drawn.len(), drawn[0].blocks, drawn[1_999].depth), (2_000, 1_999, 1_999));
    }
}
