//! Descriptions of metrics as JSON.

use serde::Deserialize;

use super::{Failure, GLEAN_INVALID_ARGUMENT, GLEAN_OUT_OF_RANGE};
use crate::common_metric_data::{CommonMetricData, Lifetime};
use crate::histogram::HistogramType;
use crate::metrics::{Kind, Label, MemoryUnit, MetricDefinition};
use crate::time::TimeUnit;

/// What all metrics have in common.
#[derive(Deserialize)]
struct Common {
    #[serde(default)]
    category: String,
    name: String,
    send_in_pings: Vec<String>,
    lifetime: i64,
    disabled: bool,
    #[serde(default)]
    in_session: bool,
}

impl Common {
    fn into_data(self) -> Result<CommonMetricData, Failure> {
        let lifetime =
            Lifetime::from_number(self.lifetime).ok_or_else(|| out_of_range("lifetime", self.lifetime, "0 to 2"))?;
        Ok(CommonMetricData {
            category: self.category,
            name: self.name,
            send_in_pings: self.send_in_pings,
            lifetime,
            disabled: self.disabled,
            in_session: self.in_session,
        })
    }
}

/// The description of a metric of any type.
#[derive(Deserialize)]
pub(crate) struct Definition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    common: Common,
    label: Option<String>,
    labels: Option<Vec<String>>,
    time_unit: Option<i64>,
    memory_unit: Option<i64>,
    #[serde(default)]
    range_min: i64,
    #[serde(default)]
    range_max: i64,
    #[serde(default)]
    bucket_count: i64,
    #[serde(default)]
    histogram_type: i64,
    #[serde(default)]
    allowed_extra_keys: Vec<String>,
    #[serde(default)]
    numerators: Vec<Common>,
    keys: Option<Vec<String>>,
    categories: Option<Vec<String>>,
}

/// A description that was checked.
pub(crate) enum Checked {
    /// Of a metric that can be recorded.
    Metric(MetricDefinition),
    /// Of a labeled one, with the labels that may be used.
    Labeled(MetricDefinition, Option<Vec<String>>),
}

impl Definition {
    pub(crate) fn check(self) -> Result<Checked, Failure> {
        let (name, is_labeled) = match self.kind.strip_prefix("labeled_") {
            Some(name) => (name.to_owned(), true),
            None => (self.kind.clone(), self.kind == "dual_labeled_counter"),
        };
        let kind = self.kind_named(&name)?;
        let label = self.label.map_or(Label::None, Label::Dynamic);
        let definition = MetricDefinition { common: self.common.into_data()?, kind, label };
        Ok(if is_labeled { Checked::Labeled(definition, self.labels) } else { Checked::Metric(definition) })
    }

    fn kind_named(&self, name: &str) -> Result<Kind, Failure> {
        Ok(match name {
            "boolean" => Kind::Boolean,
            "counter" => Kind::Counter,
            "quantity" => Kind::Quantity,
            "string" => Kind::String,
            "text" => Kind::Text,
            "url" => Kind::Url,
            "string_list" => Kind::StringList,
            "uuid" => Kind::Uuid,
            "timespan" => Kind::Timespan(self.time_unit()?),
            "timing_distribution" => Kind::TimingDistribution(self.time_unit()?),
            "memory_distribution" => Kind::MemoryDistribution(self.memory_unit()?),
            "custom_distribution" => Kind::CustomDistribution {
                range_min: self.range_min,
                range_max: self.range_max,
                bucket_count: self.bucket_count,
                histogram_type: HistogramType::from_number(self.histogram_type)
                    .ok_or_else(|| out_of_range("histogram_type", self.histogram_type, "0 and 1"))?,
            },
            "datetime" => Kind::Datetime(self.time_unit()?),
            "event" => Kind::Event(self.allowed_extra_keys.clone()),
            "object" => Kind::Object,
            "rate" => Kind::Rate,
            "numerator" => Kind::Numerator,
            "denominator" => {
                let numerators: Result<Vec<CommonMetricData>, Failure> =
                    self.numerators.iter().map(|numerator| numerator.copy().into_data()).collect();
                Kind::Denominator(numerators?)
            }
            "dual_labeled_counter" => {
                Kind::DualLabeledCounter { keys: self.keys.clone(), categories: self.categories.clone() }
            }
            _ => return Err(Failure::new(GLEAN_INVALID_ARGUMENT, format!("no metric type is called {name:?}"))),
        })
    }

    fn time_unit(&self) -> Result<TimeUnit, Failure> {
        let number = self.time_unit.unwrap_or(-1);
        TimeUnit::from_number(number).ok_or_else(|| out_of_range("time_unit", number, "0 to 6"))
    }

    fn memory_unit(&self) -> Result<MemoryUnit, Failure> {
        let number = self.memory_unit.unwrap_or(-1);
        MemoryUnit::from_number(number).ok_or_else(|| out_of_range("memory_unit", number, "0 to 3"))
    }
}

impl Common {
    fn copy(&self) -> Common {
        Common {
            category: self.category.clone(),
            name: self.name.clone(),
            send_in_pings: self.send_in_pings.clone(),
            ..*self
        }
    }
}

fn out_of_range(name: &str, number: i64, allowed: &str) -> Failure {
    Failure::new(GLEAN_OUT_OF_RANGE, format!("{name} is {number}, but may be {allowed}"))
}
