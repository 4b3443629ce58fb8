//! Service tests: the whole router in process, on a temporary data directory.
