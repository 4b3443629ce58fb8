//! A file of one maker that was sent as another's: what its sender is told to do.

/// Of an export of Apple Health.
pub(super) const APPLE_HEALTH: &str =
    "it is an export of Apple Health: send it with format=apple_health (`avycenna import apple-health`)";

/// Of files of a watch, or the export of a Garmin account.
pub(super) const GARMIN: &str =
    "it is a watch's file or a Garmin account's export: send it with format=garmin (`avycenna import garmin`)";
