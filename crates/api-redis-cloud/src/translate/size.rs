//! Sizes: numbers that look decimal on the wire and are GiB (specification §16), and the capacity that a subscription reserves.

use crate::error::TaskError;

const GIB: f64 = (1_u64 << 30) as f64;
/// The smallest database, GiB.
const SMALLEST_GB: f64 = 0.1;
/// The largest, GiB: more than any one machine has, and far from where numbers lose digits.
const LARGEST_GB: f64 = 65_536.0;

/// Bytes of all copies together, of what was asked for in either way.
pub(crate) fn total_bytes(dataset: Option<f64>, limit: Option<f64>, copies: u64) -> Result<u64, TaskError> {
    let copies = copies as f64;
    let total = match (dataset, limit) {
        (Some(_), Some(_)) => {
            return Err(TaskError::new(
                "DATABASE_SIZE_LIMIT_INVALID_TOO_MANY_MEMORY_SPECIFICATIONS",
                "either datasetSizeInGb or memoryLimitInGb is given, not both",
            ));
        }
        (None, None) => {
            return Err(TaskError::new(
                "DATABASE_SIZE_LIMIT_NOT_DEFINED",
                "datasetSizeInGb is missing",
            ));
        }
        (Some(dataset), None) => dataset * copies,
        (None, Some(limit)) => limit,
    };
    let asked = dataset.or(limit).unwrap_or_default();
    if asked < SMALLEST_GB {
        return Err(TaskError::new(
            "DATABASE_SIZE_TOO_SMALL",
            "a database has at least 0.1 GB",
        ));
    }
    if total > LARGEST_GB {
        return Err(TaskError::new("DATABASE_SIZE_TOO_BIG", "no host has room for so much"));
    }
    Ok((total * GIB).round() as u64)
}

/// GiB of bytes, with what a client wrote coming back unchanged: rounded to a millionth.
pub(crate) fn gb(bytes: u64) -> f64 {
    (bytes as f64 / GIB * 1e6).round() / 1e6
}

/// MiB of bytes, with two digits.
pub(crate) fn mb(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 20) * 100.0).round() / 100.0
}

/// Steps of capacity that hold so many bytes.
pub(crate) fn steps(bytes: u64, step_gb: u32) -> u32 {
    let step = u64::from(step_gb) << 30;
    u32::try_from(bytes.div_ceil(step.max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_given_in_one_of_two_ways() {
        let code = |dataset, limit| total_bytes(dataset, limit, 2).map_err(|error| error.code);
        assert_eq!(code(None, None), Err("DATABASE_SIZE_LIMIT_NOT_DEFINED"));
        assert_eq!(
            code(Some(1.0), Some(2.0)),
            Err("DATABASE_SIZE_LIMIT_INVALID_TOO_MANY_MEMORY_SPECIFICATIONS")
        );
        assert_eq!(code(Some(0.05), None), Err("DATABASE_SIZE_TOO_SMALL"));
        assert_eq!(code(Some(-1.0), None), Err("DATABASE_SIZE_TOO_SMALL"));
        assert_eq!(code(Some(1e12), None), Err("DATABASE_SIZE_TOO_BIG"));
        assert_eq!(code(Some(1.0), None), Ok(2 << 30));
        assert_eq!(code(None, Some(1.0)), Ok(1 << 30));
    }

    #[test]
    fn what_was_written_comes_back() {
        for size in [0.1, 0.2, 0.25, 1.0, 3.7, 1024.5] {
            let bytes = total_bytes(Some(size), None, 1).unwrap();
            assert!((gb(bytes) - size).abs() < 1e-9, "{size} came back as {}", gb(bytes));
        }
    }

    #[test]
    fn capacity_comes_in_steps() {
        assert_eq!(steps(0, 25), 0);
        assert_eq!(steps(1, 25), 1);
        assert_eq!(steps(25 << 30, 25), 1);
        assert_eq!(steps((25 << 30) + 1, 25), 2);
    }
}
