// Our .proto files as @bufbuild/protobuf understands them: an implementation of the wire format that shares no line with
// ours. Descriptors are built from what our parser read; 64-bit fields are bigints on that side throughout.

import {
  type DescMessage,
  type MessageInitShape,
  create,
  createFileRegistry,
  fromBinary,
  toBinary,
} from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'
import { loadProtos } from '../../../member/proto/generate.ts'
import {
  type EnumType,
  type Field,
  type MessageType,
  type ProtoFile,
  resolve,
} from '../../../member/proto/parse.ts'

export const PROTOS = loadProtos()

const SCALAR_TYPES: Readonly<Record<string, Type>> = {
  int32: Type.INT32,
  int64: Type.INT64,
  uint32: Type.UINT32,
  uint64: Type.UINT64,
  fixed64: Type.FIXED64,
  bool: Type.BOOL,
  bytes: Type.BYTES,
  string: Type.STRING,
}

type FieldInit = NonNullable<
  NonNullable<MessageInitShape<typeof FileDescriptorProtoSchema>['messageType']>[number]['field']
>[number]

function fieldDescriptor(file: ProtoFile, message: MessageType, field: Field): FieldInit {
  const label = field.label === 'repeated' ? Label.REPEATED : Label.OPTIONAL
  const oneofs = oneofsOf(message)
  const oneof = field.label === 'optional' ? `_${field.name}` : field.oneof
  const common = {
    name: field.name,
    number: field.number,
    label,
    ...(oneof === undefined ? {} : { oneofIndex: oneofs.indexOf(oneof) }),
    ...(field.label === 'optional' ? { proto3Optional: true } : {}),
  }
  const scalar = SCALAR_TYPES[field.type]
  if (scalar !== undefined) return { ...common, type: scalar }
  const target = resolve(PROTOS, file, { scope: message.name, reference: field.type })
  const typeName = `.${target.file.package}.${target.type.name}`
  return { ...common, typeName, type: target.type.kind === 'enum' ? Type.ENUM : Type.MESSAGE }
}

/** Declared ones, then one of its own for each `optional` field. */
function oneofsOf(message: MessageType): string[] {
  const optional = message.fields.filter((field) => field.label === 'optional')
  return [...message.oneofs, ...optional.map((field) => `_${field.name}`)]
}

type MessageInit = NonNullable<
  MessageInitShape<typeof FileDescriptorProtoSchema>['messageType']
>[number]

function messageDescriptor(file: ProtoFile, message: MessageType): MessageInit {
  const isInside = (type: MessageType | EnumType): boolean =>
    type.name.startsWith(`${message.name}.`) &&
    !type.name.slice(message.name.length + 1).includes('.')
  const nested = file.types.filter(isInside)
  return {
    name: message.name.split('.').at(-1)!,
    field: message.fields.map((field) => fieldDescriptor(file, message, field)),
    oneofDecl: oneofsOf(message).map((name) => ({ name })),
    nestedType: nested
      .filter((type) => type.kind === 'message')
      .map((type) => messageDescriptor(file, type)),
    enumType: nested.filter((type) => type.kind === 'enum').map(enumDescriptor),
  }
}

function enumDescriptor(type: EnumType) {
  return { name: type.name.split('.').at(-1)!, value: type.values.map((value) => ({ ...value })) }
}

const registry = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [...PROTOS.values()].toSorted(importedFirst).map((file) => {
      const top = file.types.filter((type) => !type.name.includes('.'))
      return create(FileDescriptorProtoSchema, {
        name: file.path,
        package: file.package,
        syntax: 'proto3',
        dependency: [...file.imports],
        messageType: top
          .filter((type) => type.kind === 'message')
          .map((type) => messageDescriptor(file, type)),
        enumType: top.filter((type) => type.kind === 'enum').map(enumDescriptor),
      })
    }),
  }),
)

function importedFirst(a: ProtoFile, b: ProtoFile): number {
  return reach(a) - reach(b)
}

function reach(file: ProtoFile): number {
  return 1 + Math.max(0, ...file.imports.map((path) => reach(PROTOS.get(path)!)))
}

/** The descriptor of `etcdserverpb.PutRequest` and the like. */
export function descriptorOf(fullName: string): DescMessage {
  const descriptor = registry.getMessage(fullName)
  if (descriptor === undefined) throw new Error(`no message ${fullName}`)
  return descriptor
}

export function independentEncode(fullName: string, value: Record<string, unknown>): Uint8Array {
  const descriptor = descriptorOf(fullName)
  return toBinary(descriptor, create(descriptor, value))
}

/** Plain values: without the marks the library puts on its messages. */
export function independentDecode(fullName: string, bytes: Uint8Array): unknown {
  return plain(fromBinary(descriptorOf(fullName), bytes))
}

/** The library's view of a message given as init object: defaults filled in, so that two ways to say it are equal. */
export function independentView(fullName: string, value: Record<string, unknown>): unknown {
  return plain(create(descriptorOf(fullName), value))
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value)
    .filter(([name, field]) => !name.startsWith('$') && field !== undefined)
    .map(([name, field]) => [name, plain(field)])
  return Object.fromEntries(fields)
}
