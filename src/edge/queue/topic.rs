//! The topic of a message.

use napi::sys;

use super::*;

impl Queue {
    /// The topic of a message that was refused, as it was given, if it is one.
    ///
    /// # Safety
    /// On the JS thread, with `topic` alive.
    pub(super) unsafe fn named(
        &self,
        env: sys::napi_env,
        topic: sys::napi_value,
    ) -> Option<String> {
        // SAFETY: the caller's promise.
        if unsafe { is_undefined(env, topic) } {
            let name = self.shared.topics.name(self.default_topic?);
            return Some(name.to_string());
        }
        let mut name = Vec::with_capacity(TOPIC_ROOM);
        // SAFETY: as above.
        unsafe { append_within(env, topic, &mut name) }.ok()?;
        String::from_utf8(name).ok()
    }

    pub(super) fn topic_id(&self, topic: &Topic, scratch: &mut Scratch) -> Result<TopicId, Reason> {
        match topic {
            Topic::Default(id) => Ok(*id),
            Topic::Named => {
                let topics = &self.shared.topics;
                // Read under the inbox's lock, as names are forgotten.
                let generation = topics.generation();
                if let Some(id) = scratch.last_topic_id
                    && scratch.topic == scratch.last_topic
                    && scratch.generation == generation
                {
                    return Ok(id);
                }
                let name = std::str::from_utf8(&scratch.topic).map_err(|_| Reason::BadTopic)?;
                let id = topics.intern_queued(name);
                scratch.last_topic_id = Some(id);
                scratch.generation = generation;
                std::mem::swap(&mut scratch.topic, &mut scratch.last_topic);
                Ok(id)
            }
        }
    }

    pub(super) unsafe fn topic(
        &self,
        env: sys::napi_env,
        topic: sys::napi_value,
        scratch: &mut Scratch,
    ) -> Result<Topic, Refusal> {
        let name = &mut scratch.topic;
        name.clear();
        name.reserve(TOPIC_ROOM);
        // A string, nearly always: to try is cheaper than to ask for the type before.
        // SAFETY: the caller's promise.
        match unsafe { append_within(env, topic, name) } {
            Ok(_) => {}
            Err(NoText::NoString) => {
                // SAFETY: the caller's promise.
                return match unsafe { type_of(env, topic) } {
                    sys::ValueType::napi_undefined => {
                        Ok(Topic::Default(self.default_topic.ok_or(Reason::NoTopic)?))
                    }
                    // As in 0.1.x, where only `undefined` stood for the default.
                    sys::ValueType::napi_null => Err(Reason::NoTopic.into()),
                    _ => Err(Refusal::Reason(
                        Reason::BadTopic,
                        Some("it is no string".into()),
                    )),
                };
            }
            Err(NoText::NeedsRoom(bytes)) => {
                let detail = format!("it is one of {bytes} bytes");
                return Err(Refusal::Reason(Reason::BadTopic, Some(detail)));
            }
        }
        // The last one was looked at already.
        if scratch.last_topic_id.is_some() && scratch.topic == scratch.last_topic {
            return Ok(Topic::Named);
        }
        match std::str::from_utf8(&scratch.topic) {
            Ok(name) if is_topic_name(name) => Ok(Topic::Named),
            _ => {
                let name = String::from_utf8_lossy(&scratch.topic);
                let shown: String = name.chars().take(MAX_TOPIC_LENGTH).collect();
                Err(Refusal::Reason(
                    Reason::BadTopic,
                    Some(format!("{shown:?}")),
                ))
            }
        }
    }
}
