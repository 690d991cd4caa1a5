//! What lies beyond a proxy, in the JSON report.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Text, View};
use crate::board::HopLink;
use crate::vocab::hop::Hop;

impl Serialize for View<'_, Box<Hop>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hop = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("way", &hop.way)?;
        map.serialize_entry("cause", &hop.cause)?;
        map.serialize_entry("connections", &hop.connections)?;
        map.serialize_entry("connection_count", &hop.count)?;
        map.serialize_entry("requests", &hop.requests)?;
        map.serialize_entry("joined_by", &hop.by)?;
        map.serialize_entry("confidence", &hop.confidence.value())?;
        map.serialize_entry("program", &hop.program)?;
        map.serialize_entry("text", &hop.text)?;
        map.end()
    }
}

impl Serialize for View<'_, HopLink> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("front", &Text(link.front))?;
        map.serialize_entry("back", &Text(link.back))?;
        map.serialize_entry("front_connections", &link.front_connections)?;
        map.serialize_entry("back_connections", &link.back_connections)?;
        map.serialize_entry("requests", &link.requests)?;
        map.serialize_entry("cancels_passed_on", &link.cancels_passed_on)?;
        map.serialize_entry("failures_passed_on", &link.failures_passed_on)?;
        map.serialize_entry("given_up", &link.given_up)?;
        map.serialize_entry("delay_seconds", &link.delay_seconds)?;
        map.serialize_entry("clock_offset", &link.clock_offset)?;
        map.serialize_entry("joined_by", &link.by)?;
        map.serialize_entry("confidence", &link.confidence.value())?;
        map.end()
    }
}
