//! Sizes in bytes, for people: `512M` in, `1.23 GiB` out.

/// Parses a number of bytes with an optional unit, which is a power of 1024: `512M`, `2 GiB`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    parse_with(text, 1024)
}

/// Parses a number of bytes with an optional unit, which is a power of 1000 unless it says `KiB` and
/// so on: `2G` is what llama-gguf-split takes it for.
pub(crate) fn parse_decimal(text: &str) -> Result<u64, String> {
    let binary = text.to_ascii_lowercase().contains("ib");
    parse_with(text, if binary { 1024 } else { 1000 })
}

fn parse_with(text: &str, base: u64) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size; write a number and K, M, G or T, such as 512M");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let power = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(base.pow(power)) {
        Some(0) => Err("a size of 0 is too little".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err(format!("'{text}' is too large")),
    }
}

/// Parses a number of MiB into bytes.
pub(crate) fn mebibytes(text: &str) -> Result<u64, String> {
    let number: Option<u64> = text.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << 20));
    bytes
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| format!("'{text}' is no number of MiB"))
}

/// A size with three digits or so: `17 B`, `1.23 GiB`.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(crate) fn show(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        assert_eq!(parse("1000"), Ok(1000));
        assert_eq!(parse("512M"), Ok(512 << 20));
        assert_eq!(parse("2 GiB"), Ok(2 << 30));
        assert_eq!(parse("1tb"), Ok(1 << 40));
        assert_eq!(parse_decimal("2G"), Ok(2_000_000_000));
        assert_eq!(parse_decimal("1 MiB"), Ok(1 << 20));
        for wrong in ["", "M", "1.5G", "-1", "1X", "0", "99999999999T"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mebibytes_parse() {
        assert_eq!(mebibytes("8192"), Ok(8 << 30));
        for wrong in ["", "0", "-1", "1G", "99999999999999"] {
            assert!(mebibytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_short() {
        let shown = [0, 1023, 1024, 1 << 20, 1_320_000_000, 1 << 50].map(show);
        let expected = [
            "0 B", "1023 B", "1.00 KiB", "1.00 MiB", "1.23 GiB", "1024 TiB",
        ];
        assert_eq!(shown, expected);
    }
}
