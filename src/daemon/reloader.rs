//! Other settings while the daemon runs. The journal is never touched.

use std::time::Duration;

use tokio::sync::watch;

use super::descriptors::Descriptors;
use crate::config::{Config, Faults, ReloadPlan};
use crate::delivery::DeliveryHandle;
use crate::event::Rules;
use crate::intake::Admission;
use crate::metrics::Metrics;

/// Puts a newly read configuration into effect, as far as that is possible without a restart.
#[derive(Debug)]
pub struct Reloader {
    config: Config,
    changes: Changes,
    metrics: Metrics,
}

/// Where settings are changed.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) admission: Admission,
    pub(super) delivery: DeliveryHandle,
    pub(super) drain_deadline: watch::Sender<Duration>,
    /// What a retried dead letter is checked under.
    pub(super) letter_rules: watch::Sender<Rules>,
    /// Whether there are descriptors enough for the connections that are allowed.
    pub(super) descriptors: Descriptors,
}

impl Reloader {
    pub(super) fn new(config: Config, changes: Changes, metrics: Metrics) -> Self {
        Self { config, changes, metrics }
    }

    /// What holds now.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes what may change. With faults nothing does, and each of them is logged. Either way the token file is read
    /// again and Polar is tried at once: whoever asks for a reload has often mended something.
    pub fn reload(&mut self, read: Result<Config, Faults>) {
        match read {
            Err(faults) => {
                for fault in &faults.0 {
                    tracing::error!("{fault}");
                }
                tracing::error!(
                    faults = faults.0.len(),
                    "the configuration was not reloaded: everything stays as it was; mend it, try it with `sledge \
                     config check`, and reload again"
                );
                self.metrics.config_reload("refused");
                self.changes.delivery.probe_now();
            }
            Ok(read) => self.put_into_effect(ReloadPlan::new(&self.config, &read)),
        }
    }

    fn put_into_effect(&mut self, plan: ReloadPlan) {
        let ReloadPlan { config, changes, needs_restart } = plan;
        self.changes.admission.change_terms(config.rules.clone(), config.intake.clone());
        self.changes.letter_rules.send_replace(config.rules.clone());
        self.changes.delivery.change_settings(config.delivery.clone());
        self.changes.drain_deadline.send_replace(config.drain_deadline);
        self.changes.descriptors.take_for(&config);
        self.config = config;
        tracing::info!(changed = changes.join(" "), "the configuration was reloaded");
        if !needs_restart.is_empty() {
            tracing::warn!(
                settings = needs_restart.join(" "),
                "these settings keep their old values until sledge is restarted"
            );
        }
        self.metrics.config_reload("applied");
    }
}
