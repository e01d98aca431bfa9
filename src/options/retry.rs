//! `retryOptions` and `fallback.retryOptions`: how often and how long apart something is tried again.

use std::time::Duration;

use rand::Rng;

use super::value::{Result, Section};

/// Exponential back-off, capped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries after the first one; `None` is for ever.
    pub retries: Option<u32>,
    pub factor: f64,
    pub min: Duration,
    pub max: Duration,
    /// Multiply each delay by a random number from 1 to 2 (never above `max`).
    pub randomize: bool,
}

impl RetryPolicy {
    /// The delay before retry number `attempt`, counted from 0.
    pub fn delay(&self, attempt: u32) -> Duration {
        let random = if self.randomize {
            rand::rng().random_range(1.0..2.0)
        } else {
            1.0
        };
        let delay = self.min.as_secs_f64() * self.factor.powi(attempt.min(1000) as i32) * random;
        // An overflowing power is infinite, and `min` makes it the cap.
        Duration::from_secs_f64(delay.min(self.max.as_secs_f64()))
    }

    /// Reads a `retryOptions` object over these defaults.
    pub fn read(self, section: &Section<'_>, warnings: &mut Vec<String>) -> Result<Self> {
        const MS: std::ops::RangeInclusive<i64> = 0..=86_400_000;
        let ms = |value: f64| Duration::from_secs_f64(value / 1000.0);
        let retries = section.integer("retries", 0..=i64::from(u32::MAX), "retries")?;
        let retries = match (section.boolean("forever")?, retries) {
            (Some(true), _) => None,
            (_, Some(retries)) => Some(retries as u32),
            (_, None) => self.retries,
        };
        let policy = RetryPolicy {
            retries,
            factor: section
                .number("factor", 1..=1000, "")?
                .unwrap_or(self.factor),
            min: section
                .number("minTimeout", MS, "milliseconds")?
                .map_or(self.min, ms),
            max: section
                .number("maxTimeout", MS, "milliseconds")?
                .map_or(self.max, ms),
            randomize: section.boolean("randomize")?.unwrap_or(self.randomize),
        };
        section.get("unref");
        section.warn_unknown(warnings);
        if policy.min > policy.max {
            return Err(section.wrong(
                "minTimeout",
                &format!("at most maxTimeout, {} ms", policy.max.as_millis()),
            ));
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::value::Value;

    const POLICY: RetryPolicy = RetryPolicy {
        retries: Some(5),
        factor: 2.0,
        min: Duration::from_millis(100),
        max: Duration::from_millis(2000),
        randomize: false,
    };

    #[test]
    fn delays_grow_to_the_cap() {
        let delays: Vec<u128> = (0..7)
            .map(|attempt| POLICY.delay(attempt).as_millis())
            .collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(POLICY.delay(u32::MAX), POLICY.max);
    }

    #[test]
    fn random_delays_stay_within_their_bounds() {
        let policy = RetryPolicy {
            randomize: true,
            ..POLICY
        };
        for attempt in 0..200 {
            let delay = policy.delay(attempt);
            assert!(delay >= POLICY.min && delay <= POLICY.max, "{delay:?}");
        }
    }

    #[test]
    fn forever_wins_over_retries() {
        let value = Value::Object(vec![
            ("forever".into(), Value::Boolean(true)),
            ("retries".into(), Value::Number(3.0)),
            ("maxTimeout".into(), Value::Number(50.0)),
        ]);
        let section = Section::new("retryOptions", &value).unwrap();
        let error = POLICY.read(&section, &mut Vec::new()).unwrap_err();
        assert_eq!(error.name, "retryOptions.minTimeout");
        let policy = RetryPolicy {
            min: Duration::ZERO,
            ..POLICY
        };
        assert_eq!(
            policy.read(&section, &mut Vec::new()).unwrap().retries,
            None
        );
    }
}
