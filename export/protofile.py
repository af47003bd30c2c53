"""Message classes from a .proto file, without a compiler: proto3 messages of plain fields.

tensorflow-serving-api lacks two of the messages that TF Serving's configuration files are made of;
protos/ has them.
"""

import pathlib
import re

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

_PROTOS = pathlib.Path(__file__).parent / "protos"
_MESSAGE = re.compile(r"message\s+(\w+)\s*\{([^}]*)\}")
_FIELD = re.compile(r"(repeated\s+)?([\w.]+)\s+(\w+)\s*=\s*(\d+)\s*;")


def message_class(file_name, message):
    """Returns the class of a message that a file of protos/ declares.

    Args:
        file_name: such as "monitoring_config.proto".
        message: its name, such as "MonitoringConfig".
    """
    source = re.sub(r"//.*", "", (_PROTOS / file_name).read_text(encoding="utf-8"))
    package = re.search(r"package\s+([\w.]+)\s*;", source).group(1)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(_file_descriptor(file_name, package, source))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message}"))


def parse_text(text, message):
    """Returns a message read from its text format, as TF Serving reads its configuration.

    Raises:
        google.protobuf.text_format.ParseError: for an unknown field or a wrong value.
    """
    return text_format.Parse(text, message)


def _file_descriptor(name, package, source):
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for message_name, body in _MESSAGE.findall(source):
        message = file.message_type.add(name=message_name)
        for repeated, kind, field_name, number in _FIELD.findall(body):
            field = message.field.add(name=field_name, number=int(number))
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            _set_type(field, kind, package)
    return file


def _set_type(field, kind, package):
    scalar = f"TYPE_{kind.upper()}"
    if scalar in descriptor_pb2.FieldDescriptorProto.Type.keys():
        field.type = descriptor_pb2.FieldDescriptorProto.Type.Value(scalar)
    else:
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{kind}" if "." in kind else f".{package}.{kind}"
