//! Holds an activity to so many units a second on the average. Pure: it says how long to wait.
//!
//! Source: `org.apache.kafka.storage.internals.utils.Throttler`.

/// How often the rate is looked at, in milliseconds.
const CHECK_INTERVAL_MS: i64 = 300;

pub struct Throttle {
    per_second: f64,
    period_start_ms: i64,
    observed: f64,
}

impl Throttle {
    pub fn new(per_second: f64, now_ms: i64) -> Throttle {
        Throttle { per_second, period_start_ms: now_ms, observed: 0.0 }
    }

    pub fn set_rate(&mut self, per_second: f64) {
        self.per_second = per_second;
    }

    /// Notes `units` done, and returns how many milliseconds to wait before more is done.
    pub fn observe(&mut self, units: f64, now_ms: i64) -> i64 {
        self.observed += units;
        let elapsed_ms = now_ms - self.period_start_ms;
        if elapsed_ms <= CHECK_INTERVAL_MS {
            return 0;
        }
        let due_ms = (self.observed / self.per_second.max(f64::MIN_POSITIVE) * 1000.0).min(3_600_000.0) as i64;
        let wait_ms = (due_ms - elapsed_ms).max(0);
        self.period_start_ms = now_ms + wait_ms;
        self.observed = 0.0;
        wait_ms
    }
}
