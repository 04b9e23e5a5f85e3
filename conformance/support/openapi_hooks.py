"""What schemathesis needs to know beside the description: ids that exist, and where the service itself is not as it is described."""

import json
import os

import schemathesis

KNOWN = json.loads(os.environ.get("PILOTHOUSE_KNOWN_IDS", "{}"))


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # Described as a word; clients and recorded answers have an object with type, status and description.
    raw_schema["components"]["schemas"]["ProcessorResponse"]["properties"]["error"] = {}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Two of three calls are about something that exists."""
    for name, value in KNOWN.items():
        drawn = (path_parameters or {}).get(name)
        if isinstance(drawn, int) and drawn % 3 or isinstance(drawn, str) and len(drawn) % 3:
            path_parameters[name] = value
    return path_parameters
