/** Prompts in a running promptd, for those outside of it. */

import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type Prompt,
  type PromptInfo as PromptInfoMessage,
  PromptType as PromptTypeMessage,
  type VersionInfo as VersionInfoMessage,
} from "../../gen/promptd/v1/prompt_pb.ts";
import type { GetPromptResponse } from "../../gen/promptd/v1/prompt_service_pb.ts";
import { PromptdError } from "../core/errors.ts";
import type {
  Caller,
  CreatedVersion,
  Edit,
  NewVersion,
  Page,
  PromptSource,
} from "../core/ports.ts";
import type {
  PromptInfo,
  PromptType,
  PromptVersion,
  Selector,
  VersionInfo,
} from "../core/prompt.ts";
import { LIMITS } from "../core/validate.ts";
import { fromBodyFields, fromTemplateFormat, toBodyFields } from "../rpc/convert.ts";
import { fromPageToken, toPageToken } from "../rpc/pages.ts";
import type { Service } from "./service.ts";

/**
 * What a sync asks of a source, over the service's API. Of a caller the signal alone
 * counts: the key of the connection says who calls and which project is meant. When a
 * prompt was changed last, only a list of prompts tells. What the service answers from
 * what it knew last is `unavailable` here.
 */
export class ServiceSource
  implements
    Pick<
      PromptSource,
      "listPrompts" | "listVersions" | "createVersion" | "setTags" | "deleteVersions"
    >
{
  readonly #service: Service;

  constructor(service: Service) {
    this.#service = service;
  }

  async load(
    { signal }: Caller,
    name: string,
    selector: Selector,
  ): Promise<Omit<PromptVersion, "updatedAt">> {
    const request = { name, selector: selectorField(selector), raw: true };
    return toVersion(await this.#service.prompts.getPrompt(request, callOptions(signal)));
  }

  async listPrompts(
    { signal }: Caller,
    filter: { label?: string; tag?: string; folder?: string },
    { size, after }: { size: number; after?: string },
  ): Promise<Page<PromptInfo, string>> {
    const request = {
      ...filter,
      pageSize: Math.min(size, LIMITS.pageSize),
      pageToken: toPageToken(after),
    };
    const response = await this.#service.prompts.listPrompts(request, callOptions(signal));
    const next = fromPageToken(response.nextPageToken, "string");
    const items = response.prompts.map(toPromptInfo);
    return next === undefined ? { items } : { items, next };
  }

  async listVersions(
    { signal }: Caller,
    name: string,
    filter: { label?: string },
    { size, before }: { size: number; before?: number },
  ) {
    const request = {
      name,
      ...filter,
      pageSize: Math.min(size, LIMITS.pageSize),
      pageToken: toPageToken(before),
    };
    const response = await this.#service.prompts.listVersions(request, callOptions(signal));
    const next = fromPageToken(response.nextPageToken, "number");
    return {
      items: response.versions.map(toVersionInfo),
      ...(next !== undefined && { next }),
      type: toType(response.type),
      tags: response.tags,
      revision: Number(response.revision),
    };
  }

  /** The pages of all versions of a prompt, newest first, each asked for when it is taken. @throws not_found */
  async *versionPages(caller: Caller, name: string, size: number = LIMITS.pageSize) {
    for (let before: number | undefined; ; ) {
      const at = before === undefined ? {} : { before };
      const page = await this.listVersions(caller, name, {}, { size, ...at });
      yield page;
      before = page.next;
      if (before === undefined) return;
    }
  }

  /** The contract has no way to make a version of what the newest version holds already. */
  async createVersion(caller: Caller, version: NewVersion): Promise<CreatedVersion> {
    const { name, body, labels, tags = [], commitMessage, expectedLatestVersion } = version;
    const made = await this.#service.prompts.createVersion(
      {
        name,
        ...toBodyFields(body),
        labels: [...labels],
        tags: [...tags],
        commitMessage,
        ...(expectedLatestVersion !== undefined && { expectedLatestVersion }),
      },
      callOptions(caller.signal),
    );
    const { created, contentHash, previous, abortedRollouts } = made;
    let revision = Number(made.revision);
    // No tags in that request leave those that are there; a prompt's first version has none.
    if (version.tags?.length === 0 && made.version > 1) {
      ({ revision } = await this.setTags(caller, { name, tags: [], reason: commitMessage }));
    }
    return { version: made.version, created, contentHash, revision, previous, abortedRollouts };
  }

  async setTags(
    { signal }: Caller,
    { name, tags, reason, ...edit }: Edit & { tags: readonly string[] },
  ) {
    const request = { name, tags: [...tags], reason, ...expectedRevision(edit) };
    const response = await this.#service.prompts.setTags(request, callOptions(signal));
    return { revision: Number(response.revision), previous: response.previous };
  }

  async deleteVersions(
    { signal }: Caller,
    { name, versions, reason, ...edit }: Edit & { versions: readonly number[] | "all" },
  ) {
    const which = versions === "all" ? { all: true } : { versions: [...versions] };
    const request = { name, ...which, reason, ...expectedRevision(edit) };
    const response = await this.#service.prompts.deleteVersions(request, callOptions(signal));
    const { revision, removed, abortedRollouts } = response;
    return { revision: Number(revision), removed, abortedRollouts };
  }
}

function callOptions(signal: AbortSignal | undefined) {
  return signal === undefined ? {} : { signal };
}

function selectorField(selector: Selector) {
  return "version" in selector
    ? ({ case: "version", value: selector.version } as const)
    : ({ case: "label", value: selector.label } as const);
}

function expectedRevision({ expectedRevision: revision }: { expectedRevision?: number }) {
  return revision === undefined ? {} : { expectedRevision: BigInt(revision) };
}

/** @throws unavailable where nobody can say whether it still stands */
function toVersion({ prompt, resolution }: GetPromptResponse) {
  if (prompt === undefined || resolution === undefined) {
    throw new PromptdError("internal", "the service's answer has no prompt");
  }
  const { name, version, labels, tags, commitMessage, author } = prompt;
  if (resolution.stale || version === 0) {
    const message = `promptd answers for "${name}" with what it knew last; try again once it reaches its database`;
    throw new PromptdError("unavailable", message);
  }
  const body = fromBodyFields(prompt);
  return {
    name,
    type: body.type,
    version,
    contentHash: resolution.contentHash,
    revision: Number(prompt.revision),
    body,
    labels,
    tags,
    commitMessage,
    author,
    createdAt: toDate(prompt.createTime),
  };
}

function toPromptInfo(info: PromptInfoMessage): PromptInfo {
  const { name, tags, labels, latestVersion, versionCount } = info;
  return {
    name,
    type: toType(info.type),
    tags,
    labels,
    latestVersion,
    versionCount,
    updatedAt: toDate(info.updateTime),
    revision: Number(info.revision),
  };
}

function toVersionInfo(info: VersionInfoMessage): VersionInfo {
  const { version, labels, commitMessage, author, contentHash } = info;
  const format = fromTemplateFormat(info.format);
  return {
    version,
    labels,
    commitMessage,
    author,
    createdAt: toDate(info.createTime),
    contentHash,
    format,
  };
}

function toType(type: PromptTypeMessage): PromptType {
  return type === PromptTypeMessage.CHAT ? "chat" : "text";
}

function toDate(time: Prompt["createTime"]): Date {
  return time === undefined ? new Date(0) : timestampDate(time);
}
