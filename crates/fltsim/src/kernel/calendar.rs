//! The calendar: days and times of day from the ticks since 1601.

/// Ticks of 100 ns.
pub(crate) const SECOND: i64 = 10_000_000;
const MILLISECOND: i64 = 10_000;
const DAY: i64 = 86_400 * SECOND;
/// Between 1601 and 1970, and 1601 and 1980, in seconds.
pub(crate) const SINCE_1970: i64 = 11_644_473_600;
pub(crate) const SINCE_1980: i64 = 11_960_006_400;
const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// `TIME_FIELDS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) year: i16,
    pub(crate) month: i16,
    pub(crate) day: i16,
    pub(crate) hour: i16,
    pub(crate) minute: i16,
    pub(crate) second: i16,
    pub(crate) milliseconds: i16,
    pub(crate) weekday: i16,
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_length(year: i64, month: usize) -> i64 {
    MONTHS[month] + i64::from(month == 1 && is_leap(year))
}

/// How many days have gone since 1601 before a year begins.
fn days_before(year: i64) -> i64 {
    let years = year - 1601;
    years * 365 + years / 4 - years / 100 + years / 400
}

/// The fields of a time.
pub(crate) fn fields(time: i64) -> Fields {
    let time = time.max(0);
    let (days, rest) = (time / DAY, time % DAY);
    let mut year = 1601 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let mut day = days - days_before(year);
    let mut month = 0;
    while month < 11 && day >= month_length(year, month) {
        day -= month_length(year, month);
        month += 1;
    }
    let short = |value: i64| i16::try_from(value).unwrap_or(i16::MAX);
    let seconds = rest / SECOND;
    Fields {
        year: short(year),
        month: i16::try_from(month).unwrap_or(0) + 1,
        day: short(day + 1),
        hour: short(seconds / 3600),
        minute: short(seconds / 60 % 60),
        second: short(seconds % 60),
        milliseconds: short(rest % SECOND / MILLISECOND),
        // The first of January 1601 was a Monday.
        weekday: short((days + 1) % 7),
    }
}

/// The time of fields; none if there is no such day or time. The day of the week is not looked at.
pub(crate) fn time(fields: &Fields) -> Option<i64> {
    let year = i64::from(fields.year);
    let month = usize::try_from(fields.month).ok()?.checked_sub(1)?;
    let in_range = (1601..=30827).contains(&year)
        && month < 12
        && (0..24).contains(&fields.hour)
        && (0..60).contains(&fields.minute)
        && (0..60).contains(&fields.second)
        && (0..1000).contains(&fields.milliseconds);
    let day = i64::from(fields.day);
    if !in_range || day < 1 || day > month_length(year, month) {
        return None;
    }
    let months: i64 = (0..month).map(|month| month_length(year, month)).sum();
    let days = days_before(year) + months + day - 1;
    let seconds =
        i64::from(fields.hour) * 3600 + i64::from(fields.minute) * 60 + i64::from(fields.second);
    let ticks = seconds * SECOND + i64::from(fields.milliseconds) * MILLISECOND;
    Some(days * DAY + ticks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        let at = |seconds: i64| {
            let Fields {
                year,
                month,
                day,
                hour,
                minute,
                second,
                weekday,
                ..
            } = fields(seconds * SECOND);
            (year, month, day, hour, minute, second, weekday)
        };
        assert_eq!(at(0), (1601, 1, 1, 0, 0, 0, 1));
        assert_eq!(at(SINCE_1970), (1970, 1, 1, 0, 0, 0, 4));
        assert_eq!(at(SINCE_1980), (1980, 1, 1, 0, 0, 0, 2));
        // 29 February 2000 was a Tuesday.
        assert_eq!(at(SINCE_1970 + 951_868_799), (2000, 2, 29, 23, 59, 59, 2));
        assert_eq!(at(SINCE_1970 + 4_107_542_400), (2100, 3, 1, 0, 0, 0, 1));
    }

    #[test]
    fn days_that_are_not() {
        let day = |year, month, day| {
            let (hour, minute, second, milliseconds, weekday) = (0, 0, 0, 0, 0);
            time(&Fields {
                year,
                month,
                day,
                hour,
                minute,
                second,
                milliseconds,
                weekday,
            })
        };
        assert!(day(2023, 2, 29).is_none());
        assert!(day(2024, 2, 29).is_some());
        assert!(day(1900, 2, 29).is_none());
        assert!(day(2024, 13, 1).is_none());
        assert!(day(2024, 0, 1).is_none());
        assert!(day(1600, 1, 1).is_none());
    }

    proptest! {
        #[test]
        fn there_and_back(ticks in 0_i64..9_000_000_000_000_000_000) {
            let ticks = ticks / MILLISECOND * MILLISECOND;
            prop_assert_eq!(time(&fields(ticks)), Some(ticks));
        }
    }
}
