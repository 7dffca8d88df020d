//! How a token's life is settled: by us, by the provider, or by its documentation.

use jiff::SignedDuration;

use crate::mint::InvalidBlock;

/// How a token's life is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// We ask for one, within the provider's limits.
    Chosen {
        /// The shortest life that the provider grants.
        min: SignedDuration,
        /// The longest life that the provider grants.
        max: SignedDuration,
    },
    /// The provider's documentation fixes it.
    Fixed(SignedDuration),
    /// We may ask for one within these limits, else the provider decides; the reply says.
    Offered {
        /// The shortest life that may be asked for.
        min: SignedDuration,
        /// The longest life that may be asked for.
        max: SignedDuration,
    },
    /// The provider decides, and the token says.
    Stated,
}

impl Life {
    /// The provider's limits in seconds.
    #[must_use]
    pub const fn chosen(min: i64, max: i64) -> Self {
        Self::Chosen {
            min: SignedDuration::from_secs(min),
            max: SignedDuration::from_secs(max),
        }
    }

    /// What may be asked for in seconds, where the provider decides if nothing is.
    #[must_use]
    pub const fn offered(min: i64, max: i64) -> Self {
        Self::Offered {
            min: SignedDuration::from_secs(min),
            max: SignedDuration::from_secs(max),
        }
    }

    /// Whether the provider grants what is asked for. CEL refuses the rest at admission.
    ///
    /// # Errors
    /// The limits.
    pub fn admit(self, expiration: SignedDuration) -> Result<(), InvalidBlock> {
        match self {
            Self::Offered { .. } if expiration.is_zero() => Ok(()),
            Self::Chosen { min, max } | Self::Offered { min, max } if expiration < min || expiration > max => {
                Err(InvalidBlock(format!(
                    "expirationSeconds: {} is outside of what the provider grants, {} to {} seconds",
                    expiration.as_secs(),
                    min.as_secs(),
                    max.as_secs()
                )))
            }
            Self::Chosen { .. } | Self::Offered { .. } | Self::Fixed(_) | Self::Stated => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_outside_of_the_limits_are_refused() {
        let secs = SignedDuration::from_secs;
        let chosen = Life::Chosen {
            min: secs(10),
            max: secs(7200),
        };
        for inside in [10, 1800, 7200] {
            assert_eq!(chosen.admit(secs(inside)), Ok(()));
        }
        for outside in [i64::MIN, 0, 9, 7201, i64::MAX] {
            assert!(chosen.admit(secs(outside)).unwrap_err().0.contains("10 to 7200"));
        }
        assert_eq!(Life::Stated.admit(secs(0)), Ok(()));
    }
}
