//! A cluster in memory: the real state machines of controller, partitions, ISRs and fetchers, over a virtual clock, a
//! network that loses, delays, reorders and cuts, sessions that expire, and disks that forget what was not synced.
//!
//! A seed is a history. `SIM_SEEDS=FIRST..LAST` runs others than the few that every test run does; what a seed found
//! becomes a named test.

mod cluster;

use cluster::Cluster;

/// Runs one history; the panic that a broken invariant is names the seed.
fn history(seed: u64) -> cluster::Told {
    let mut cluster = Cluster::new(seed);
    cluster.run(40_000);
    cluster.heal();
    cluster.run(60_000);
    cluster.check_at_rest();
    cluster.told()
}

#[test]
fn no_history_loses_what_was_acknowledged() {
    let seeds = std::env::var("SIM_SEEDS").unwrap_or_else(|_| "0..40".to_owned());
    let (first, last) = seeds.split_once("..").expect("SIM_SEEDS is FIRST..LAST");
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    let mut told = cluster::Told::default();
    for seed in first..last {
        let outcome = std::panic::catch_unwind(|| history(seed));
        match outcome {
            Ok(one) => told.add(&one),
            Err(panic) => {
                eprintln!("seed {seed} failed: run it alone with SIM_SEEDS={seed}..{}", seed + 1);
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("seeds {seeds}: {told:?}");
    assert!(told.acknowledged > 0 && told.elections > 0 && told.crashes > 0, "{told:?}");
}
