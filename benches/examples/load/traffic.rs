//! What is sent: bodies made ahead, in the order in which a fleet of watches would send them.
//!
//! A body is one person's: 500 points in the order in which their watch sends them, two in a hundred late, one in a
//! hundred sent again. Bodies wait in a synced file, so that the driver's memory stays small and neither generating nor
//! writing disturbs what is measured.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use server::lifelike::{Fleet, Point, render};

use crate::Result;

/// One body in the spool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    /// Whose.
    pub(crate) person: u32,
    /// How many points.
    pub(crate) points: u64,
    offset: u64,
    len: usize,
}

/// All bodies of a run, in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct Traffic {
    spool: File,
    /// In order.
    pub(crate) deliveries: Vec<Delivery>,
    /// Points in all deliveries, those sent again included.
    pub(crate) points_sent: u64,
    /// Points that there are: each identity once.
    pub(crate) points_distinct: u64,
    /// Bytes in all deliveries.
    pub(crate) body_bytes: u64,
}

impl Traffic {
    /// Makes the bodies of a fleet's people into a file of `folder`, which is unlinked at once.
    pub(crate) fn build(fleet: &Fleet, body_points: usize, folder: &Path) -> Result<Self> {
        let path = folder.join("bodies.spool");
        let spool = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        std::fs::remove_file(&path)?;
        let mut out = BufWriter::with_capacity(1 << 20, &spool);
        let mut steps: Vec<(usize, Delivery)> = Vec::new();
        let mut offset = 0;
        let mut points_distinct = 0;
        let mut body = Vec::new();
        for number in 0..fleet.people() {
            let person = fleet.person(number);
            points_distinct += person.truth().len() as u64;
            let points: Vec<Point<'_>> = person.points().collect();
            for (step, points) in points.chunks(body_points).enumerate() {
                body.clear();
                render(points.iter().copied(), &mut body);
                out.write_all(&body)?;
                steps.push((step, Delivery { person: number, points: points.len() as u64, offset, len: body.len() }));
                offset += body.len() as u64;
            }
        }
        out.flush()?;
        drop(out);
        spool.sync_all()?;
        // Everybody's first body, then everybody's second: the fleet lives through the same days.
        steps.sort_by_key(|(step, delivery)| (*step, delivery.person));
        let deliveries: Vec<Delivery> = steps.into_iter().map(|(_, delivery)| delivery).collect();
        let points_sent = deliveries.iter().map(|delivery| delivery.points).sum();
        let body_bytes = deliveries.iter().map(|delivery| delivery.len as u64).sum();
        Ok(Self { spool, deliveries, points_sent, points_distinct, body_bytes })
    }

    /// Leaves the first `points` points, about.
    pub(crate) fn truncate(&mut self, points: f64) {
        let mut sum = 0;
        self.deliveries.retain(|delivery| {
            let is_within = (sum as f64) < points;
            sum += delivery.points;
            is_within
        });
        self.points_sent = self.deliveries.iter().map(|delivery| delivery.points).sum();
        self.body_bytes = self.deliveries.iter().map(|delivery| delivery.len as u64).sum();
    }

    /// Reads a body into `body`.
    pub(crate) fn read(&self, delivery: &Delivery, body: &mut Vec<u8>) -> Result<()> {
        body.resize(delivery.len, 0);
        self.spool.read_exact_at(body, delivery.offset)?;
        Ok(())
    }
}

/// Points answered with 201 so far, for the progress bar.
#[derive(Debug, Default)]
pub(crate) struct Progress(AtomicU64);

impl Progress {
    /// Counts points.
    pub(crate) fn add(&self, points: u64) {
        self.0.fetch_add(points, Ordering::Relaxed);
    }

    /// The count.
    pub(crate) fn points(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
