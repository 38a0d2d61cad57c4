"""The published schemas on exported events: OCSF 1.8, OTLP's protocol buffers, CloudEvents 1.0, RFC 4180.

usage: exports_judge.py {ocsf|otel|traces|cloudevents|csv} FILE

Prints how many events it accepted; a refusal exits with 1 and says why. Shares no code with the project.
"""
import csv
import json
import re
import sys


def ocsf(lines):
    from jsonschema import Draft202012Validator
    from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    validators = {}
    for line in lines:
        event = json.loads(line)
        uid = event["class_uid"]
        if uid not in validators:
            name = schema.lookup_class_name_from_uid(class_uid=uid)
            validators[uid] = Draft202012Validator(schema.get_class_schema(class_name=name, profiles=[]))
        validators[uid].validate(event)
        if event["type_uid"] != uid * 100 + event["activity_id"]:
            raise ValueError("type_uid")
    return len(lines)


def otel(lines):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    count = 0
    for line in lines:
        request = json_format.Parse(line, ExportLogsServiceRequest())
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    if not (record.time_unix_nano > 10**18 and record.event_name and record.attributes):
                        raise ValueError("an empty record")
                    count += 1
    return count


def traces(lines):
    """OTLP's JSON has ids in hex, where the protocol buffers' own JSON has base64."""
    from base64 import b64encode

    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def to_base64(found):
        return f'"{found[1]}":"{b64encode(bytes.fromhex(found[2])).decode()}"'

    count = 0
    for line in lines:
        text = re.sub(r'"(traceId|spanId|parentSpanId)":"([^"]*)"', to_base64, line)
        request = json_format.Parse(text, ExportTraceServiceRequest())
        for resource in request.resource_spans:
            names = {attribute.key for attribute in resource.resource.attributes}
            if not {"service.name", "service.version"} <= names:
                raise ValueError("a resource without a name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if len(span.trace_id) != 16 or len(span.span_id) != 8 or not span.name:
                        raise ValueError("an empty span")
                    if not 10**18 < span.start_time_unix_nano <= span.end_time_unix_nano:
                        raise ValueError("times")
                    count += 1
    return count


def cloudevents(lines):
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    ids = set()
    for line in lines:
        event = JSONFormat().read(CloudEvent, line)
        if event.get_specversion() != "1.0" or not event.get_data()["event_id"]:
            raise ValueError("not an event of ours")
        ids.add((event.get_source(), event.get_id()))
    if len(ids) != len(lines):
        raise ValueError("two events of one id")
    return len(lines)


def rows(lines, text):
    table = list(csv.reader(text.splitlines(keepends=True), strict=True))
    for row in table:
        if len(row) != len(table[0]):
            raise ValueError("cells")
        if any(re.match(r"\s*[=+\-@]", cell) for cell in row):
            raise ValueError("a formula")
    return len(table) - 1


def main():
    form, path = sys.argv[1:]
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    lines = text.splitlines()
    try:
        judges = {"ocsf": ocsf, "otel": otel, "traces": traces, "cloudevents": cloudevents, "csv": lambda l: rows(l, text)}
        print(f"accepted {judges[form](lines)}")
    except Exception as error:
        print(f"refused: {str(error)[:500]}")
        sys.exit(1)


main()
