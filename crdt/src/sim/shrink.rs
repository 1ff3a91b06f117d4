//! Makes a failing run small: delta debugging of its list of transitions (Zeller and Hildebrandt: Simplifying and
//! Isolating Failure-Inducing Input, 2002).

use super::plan::Plan;
use super::run;

/// The places of the transitions that a failing plan needs: leaving out any one of them makes the rule hold. At most
/// `runs` runs are spent, so the answer may be larger than need be.
#[must_use]
pub fn shrink(plan: &Plan, runs: usize) -> Vec<usize> {
    let all: Vec<usize> = (0..plan.steps.len()).collect();
    let Err(first) = run(plan) else { return all };
    let mut left = runs;
    let mut fails = |places: &[usize]| {
        left = left.saturating_sub(1);
        left > 0 && run(&plan.keep(places)).is_err_and(|f| f.violation.rule == first.violation.rule)
    };
    let mut kept: Vec<usize> = all.into_iter().take(first.step).collect();
    let mut parts = 2usize;
    while kept.len() > 1 {
        let size = kept.len().div_ceil(parts);
        let smaller = (0..parts).find_map(|part| {
            let from = part.saturating_mul(size).min(kept.len());
            let to = from.saturating_add(size).min(kept.len());
            let rest: Vec<usize> = kept[..from].iter().chain(&kept[to..]).copied().collect();
            (from < to && fails(&rest)).then_some(rest)
        });
        match smaller {
            Some(rest) => {
                kept = rest;
                parts = parts.saturating_sub(1).max(2);
            }
            None if parts >= kept.len() => break,
            None => parts = parts.saturating_mul(2).min(kept.len()),
        }
    }
    kept
}

/// Places as text: `3,9-12,40`.
#[must_use]
pub fn places(list: &[usize]) -> String {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(first) = list.get(at) {
        let mut end = at;
        while list.get(end.saturating_add(1)) == list.get(end).map(|n| n + 1).as_ref() {
            end = end.saturating_add(1);
        }
        out.push(if end == at { first.to_string() } else { format!("{first}-{}", list[end]) });
        at = end.saturating_add(1);
    }
    out.join(",")
}
