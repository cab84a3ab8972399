"""What is kept of a profile: its newest score by service ("<service>.<output>" for a model of several outputs)."""


def enrich(profile: dict | None, record: dict) -> dict:
    """Merges the scores of one event into a profile and returns the new one; the old one stays as it is.

    The newest event time wins, so late events and records that are read twice do no harm; of two events with one time
    the one that stands later in the topic wins. Shadows are left out.
    """
    scores = dict(profile["scores"]) if profile else {}
    for entry in record["scores"]:
        if entry["role"] == "shadow":
            continue
        name = entry["service"] if entry["output"] == "score" else f"{entry['service']}.{entry['output']}"
        known = scores.get(name)
        if known is not None and known["eventTime"] > record["eventTime"]:
            continue
        scores[name] = {
            "score": entry["score"],
            "model": entry["model"],
            "version": entry["version"],
            "fallback": entry["fallback"],
            "eventTime": record["eventTime"],
            "eventId": record["eventId"],
        }
    return {"id": f"{record['profile']['namespace']}:{record['profile']['id']}", "scores": scores}
