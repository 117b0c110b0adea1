/**
 * Every sentence that an answer of the API may carry, in Chinese and English. `{name}` is filled in by
 * {@link t}. The messages of the app routes are part of the contract and are kept to the letter.
 */
const zh = {
  "app.created": "应用已经成功创建,id 为 {id}",
  "app.found": "应用已经成功获取,名字是{name}",
  "app.updated": "应用已经成功修改,名字是{name}",
  "app.deleted": "应用已经成功删除,id 为{id}",
  "app.not_found": "应用不存在",
  "route.not_found": "没有这个接口",
  "health.pong": "pong",
  "database.unreachable": "数据库暂时无法访问,请稍后重试",
  "internal.failed": "服务内部出错,请联系管理员并提供请求编号 {requestId}",

  "auth.required": "请先登录",
  "auth.bad_login": "邮箱或密码不正确",
  "auth.bad_refresh": "登录已失效,请重新登录",
  "auth.bad_password": "当前密码不正确",
  "auth.bad_setup": "初始化链接无效或已过期:请重新启动服务以获得新的链接",
  "auth.slow_down": "尝试过于频繁,请在 {seconds} 秒后重试",
  "auth.forbidden": "没有权限",
  "auth.cross_site": "请求来自其他网站,已被拒绝",
  "auth.logged_in": "登录成功",
  "auth.logged_out": "已退出登录",
  "auth.set_up": "初始化完成,账号 {email} 是所有者",
  "auth.password_changed": "密码已修改,请重新登录",
  "session.not_found": "登录会话不存在",
  "session.ended": "登录会话已结束",
  "account.created": "账号已经成功创建,邮箱为{email}",
  "account.found": "账号已经成功获取,邮箱为{email}",
  "account.updated": "账号已经成功修改,邮箱为{email}",
  "account.deleted": "账号已经成功删除",
  "account.not_found": "账号不存在",
  "account.exists": "这个邮箱已有账号",
  "account.above": "不能授予或修改高于自己的角色",
  "account.last_owner": "至少要保留一位可以登录的所有者",
  "member.set": "成员 {email} 的角色已设为 {role}",
  "member.removed": "成员已移除",
  "member.not_found": "成员不存在",
  "member.owner": "应用的所有者不能同时是成员",
  "key.created": "密钥已经成功创建,只显示这一次",
  "key.rotated": "密钥已经更换,旧密钥在 {seconds} 秒后失效;新密钥只显示这一次",
  "key.revoked": "密钥已经吊销",
  "key.not_found": "密钥不存在",
  "key.bad": "密钥无效",
  "model.not_found": "没有这个模型,或这个密钥不能使用它:{model}",
  "dev.forbidden": "开发模式只接受来自本机的直接请求:{what}",
  "dev.host": "Host 不是本机地址",
  "dev.origin": "Origin 不是本服务自己的地址",
  "dev.proxy": "请求经过了代理",

  "validate.failed": "参数校验失败",
  "validate.required": "必填",
  "validate.unknown": "未知字段",
  "validate.type": "类型应为{type}",
  "validate.min_length": "长度不能少于 {min} 个字符",
  "validate.max_length": "长度不能超过 {max} 个字符",
  "validate.minimum": "不能小于 {min}",
  "validate.maximum": "不能大于 {max}",
  "validate.max_items": "不能超过 {max} 项",
  "validate.one_of": "只能是以下之一:{values}",
  "validate.uuid": "不是有效的 UUID",
  "validate.text": "不能包含 NUL 字符或不成对的代理字符",
  "validate.cursor": "不是有效的游标,请使用上一页返回的 next_cursor",
  "validate.json": "不是有效的 JSON",
  "validate.object": "应为 JSON 对象",
  "validate.too_deep": "嵌套不能超过 {max} 层",
  "validate.encoding": "不是有效的百分号编码(UTF-8)",
  "validate.repeated": "不能重复",
  "validate.content_type": "Content-Type 应为 application/json",
  "validate.content_encoding": "不接受压缩的请求体",
  "validate.too_large": "请求体不能超过 {max} 字节",
  "validate.model": "只能是以下之一:{models}",
  "validate.password": "密码不能与邮箱相同",
  "validate.email": "不是有效的邮箱地址",
  "validate.address_range": "不是有效的 IP 地址或 CIDR 网段",
  "validate.time": "不是有效的 RFC 3339 时间",
  "validate.future": "应为将来的时间",
  "validate.invalid": "值无效",

  "upstream.no_key": '尚未配置模型服务的密钥:请设置环境变量 OPEN_API_KEY 后重启,或使用 model "echo" 离线试用',
  "upstream.unauthorized": "模型服务拒绝了密钥:请检查 OPEN_API_KEY 与 OPEN_API_BASE 是否匹配",
  "upstream.rate_limited": "模型服务请求过于频繁或额度已用完,请稍后重试",
  "upstream.bad_request": "模型服务不接受这个请求",
  "upstream.failed": "模型服务内部出错,请稍后重试",
  "upstream.unreachable": "无法连接模型服务:请检查 OPEN_API_BASE 与网络",
  "upstream.model_not_found": "模型服务没有这些模型:{asked};当前密钥可用的模型:{available}",
  "upstream.not_found": "模型服务没有这个接口:请检查 OPEN_API_BASE,它通常以 /v1 结尾",
  "upstream.malformed": "模型服务返回了无法解析的内容",
  "upstream.cut": "模型服务在回答中途断开",
  "upstream.timeout_connect": "连接模型服务超时",
  "upstream.timeout_first_byte": "模型服务迟迟没有开始回答",
  "upstream.timeout_idle": "模型服务在回答中途停顿过久",
  "upstream.timeout_total": "模型服务的回答超过了总时限",
  "upstream.draining": "服务正在停止,回答被中断",

  "oidc.updated": "单点登录设置已保存",
  "oidc.not_configured": "尚未配置单点登录",
  "oidc.state": "登录已过期,或不是由这个浏览器发起的,请重新登录",
  "oidc.refused": "身份提供方拒绝了登录",
  "oidc.refused_with": "身份提供方拒绝了登录:{error}",
  "oidc.answer_invalid": "身份提供方的回答未能通过验证",
  "oidc.unreachable": "暂时无法访问身份提供方,请稍后重试",
  "oidc.email_missing": "身份提供方没有给出可用的邮箱地址",
  "oidc.email_unverified": "身份提供方尚未验证这个邮箱地址",
  "oidc.domain_not_allowed": "这个邮箱的域名不能登录",
  "oidc.account_disabled": "账号已停用",
  "oidc.account_linked": "这个邮箱的账号已绑定身份提供方的另一个用户",
  "oidc.issuer_invalid": "应为不带查询参数的 https 地址,或本机的 http 地址,且不含 /.well-known/",
  "oidc.discovery_unreachable": "无法访问:请检查地址与网络",
  "oidc.discovery_invalid":
    "这个地址没有可用的 OpenID 配置(/.well-known/openid-configuration),或其中的 issuer 与此不一致",
  "oidc.scopes_invalid": "应为以空格分隔的 scope,且包含 openid",
  "oidc.domain_invalid": "应为域名,例如 example.com",
  "oidc.secret_again": "issuer 改变后需要重新填写",
  "oidc.page_title": "登录失败",
  "oidc.retry": "重新登录",
} as const;

export type MessageKey = keyof typeof zh;

const en: Record<MessageKey, string> = {
  "app.created": "The app has been created, id {id}",
  "app.found": "The app has been found, its name is {name}",
  "app.updated": "The app has been changed, its name is {name}",
  "app.deleted": "The app has been deleted, id {id}",
  "app.not_found": "There is no such app",
  "route.not_found": "There is no such route",
  "health.pong": "pong",
  "database.unreachable": "The database cannot be reached right now, please try again",
  "internal.failed": "Something failed inside the service; tell the operator the request id {requestId}",

  "auth.required": "Please log in first",
  "auth.bad_login": "E-mail or password is wrong",
  "auth.bad_refresh": "The login is no longer good, please log in again",
  "auth.bad_password": "The present password is wrong",
  "auth.bad_setup": "The setup link is not valid or has expired; restart the service for a new one",
  "auth.slow_down": "Too many attempts, please try again in {seconds} seconds",
  "auth.forbidden": "You are not allowed to do this",
  "auth.cross_site": "The request comes from another site and was refused",
  "auth.logged_in": "You are logged in",
  "auth.logged_out": "You are logged out",
  "auth.set_up": "Setup is done; {email} is the owner",
  "auth.password_changed": "The password has been changed, please log in again",
  "session.not_found": "There is no such login session",
  "session.ended": "The login session has ended",
  "account.created": "The account has been created, e-mail {email}",
  "account.found": "The account has been found, e-mail {email}",
  "account.updated": "The account has been changed, e-mail {email}",
  "account.deleted": "The account has been deleted",
  "account.not_found": "There is no such account",
  "account.exists": "There is an account with this e-mail already",
  "account.above": "You cannot give or change a role above your own",
  "account.last_owner": "At least one owner who can log in must be left",
  "member.set": "{email} is now {role} of the app",
  "member.removed": "The member has been removed",
  "member.not_found": "There is no such member",
  "member.owner": "The app's owner cannot be its member as well",
  "key.created": "The key has been created; it is shown this once",
  "key.rotated":
    "The key has been exchanged; the old one ends in {seconds} seconds, the new one is shown this once",
  "key.revoked": "The key has been revoked",
  "key.not_found": "There is no such key",
  "key.bad": "The key is not valid",
  "model.not_found": "There is no such model, or this key may not use it: {model}",
  "dev.forbidden": "Development mode takes direct requests from this machine only: {what}",
  "dev.host": "Host is not a loopback address",
  "dev.origin": "Origin is not this service's own",
  "dev.proxy": "the request came through a proxy",

  "validate.failed": "The input is not valid",
  "validate.required": "is required",
  "validate.unknown": "is not a known field",
  "validate.type": "must be of type {type}",
  "validate.min_length": "must have at least {min} characters",
  "validate.max_length": "must have at most {max} characters",
  "validate.minimum": "must be at least {min}",
  "validate.maximum": "must be at most {max}",
  "validate.max_items": "must have at most {max} items",
  "validate.one_of": "must be one of: {values}",
  "validate.uuid": "is not a valid UUID",
  "validate.text": "must not contain NUL characters or lone surrogates",
  "validate.cursor": "is not a valid cursor; use the next_cursor of the page before",
  "validate.json": "is not valid JSON",
  "validate.object": "must be a JSON object",
  "validate.too_deep": "must not be nested deeper than {max} levels",
  "validate.encoding": "is not valid percent-encoded UTF-8",
  "validate.repeated": "must not be given twice",
  "validate.content_type": "Content-Type must be application/json",
  "validate.content_encoding": "compressed bodies are not accepted",
  "validate.too_large": "must have at most {max} bytes",
  "validate.model": "must be one of: {models}",
  "validate.password": "must not be the e-mail address",
  "validate.email": "is not a valid e-mail address",
  "validate.address_range": "is not a valid IP address or CIDR range",
  "validate.time": "is not a valid RFC 3339 time",
  "validate.future": "must be in the future",
  "validate.invalid": "is not valid",

  "upstream.no_key":
    'No provider key is set: set the environment variable OPEN_API_KEY and restart, or try model "echo" offline',
  "upstream.unauthorized": "The provider refused the key: check that OPEN_API_KEY belongs to OPEN_API_BASE",
  "upstream.rate_limited": "The provider is rate limiting or the quota is used up, please try again later",
  "upstream.bad_request": "The provider does not accept this request",
  "upstream.failed": "The provider failed, please try again later",
  "upstream.unreachable": "The provider cannot be reached: check OPEN_API_BASE and the network",
  "upstream.model_not_found": "The provider has none of these models: {asked}; this key may use: {available}",
  "upstream.not_found": "The provider has no such route: check OPEN_API_BASE, which usually ends in /v1",
  "upstream.malformed": "The provider sent an answer that cannot be understood",
  "upstream.cut": "The provider broke off in the middle of its answer",
  "upstream.timeout_connect": "Connecting to the provider took too long",
  "upstream.timeout_first_byte": "The provider took too long to begin its answer",
  "upstream.timeout_idle": "The provider paused for too long in the middle of its answer",
  "upstream.timeout_total": "The provider's answer took longer than allowed",
  "upstream.draining": "The service is stopping and the answer was broken off",

  "oidc.updated": "The single sign-on settings have been saved",
  "oidc.not_configured": "Single sign-on is not set up",
  "oidc.state": "The login has expired or was not begun in this browser, please log in again",
  "oidc.refused": "The identity provider refused the login",
  "oidc.refused_with": "The identity provider refused the login: {error}",
  "oidc.answer_invalid": "The identity provider's answer could not be verified",
  "oidc.unreachable": "The identity provider cannot be reached right now, please try again later",
  "oidc.email_missing": "The identity provider gave no e-mail address that can be used",
  "oidc.email_unverified": "The identity provider has not verified this e-mail address",
  "oidc.domain_not_allowed": "E-mail addresses of this domain may not log in",
  "oidc.account_disabled": "The account is disabled",
  "oidc.account_linked":
    "The account of this e-mail address belongs to another user of the identity provider",
  "oidc.issuer_invalid":
    "must be an https address without a query, or an http address of this machine, and without /.well-known/",
  "oidc.discovery_unreachable": "cannot be reached: check the address and the network",
  "oidc.discovery_invalid":
    "has no usable OpenID configuration (/.well-known/openid-configuration), or one that names another issuer",
  "oidc.scopes_invalid": "must be scopes separated by spaces, with openid among them",
  "oidc.domain_invalid": "must be domains such as example.com",
  "oidc.secret_again": "must be given again when the issuer changes",
  "oidc.page_title": "Login failed",
  "oidc.retry": "Log in again",
};

/** The languages of the API; Chinese unless the caller asks for English. */
export type Locale = "zh" | "en";

const catalogue: Record<Locale, Record<MessageKey, string>> = { zh, en };

/** Values for the `{name}` places of a message. */
export type MessageParams = Readonly<Record<string, string | number>>;

/** A message in `locale` with its places filled in; a place without a value stays as it is. */
export function t(locale: Locale, key: MessageKey, params: MessageParams = {}): string {
  return catalogue[locale][key].replace(/\{(\w+)\}/g, (place, name: string) => String(params[name] ?? place));
}

/**
 * The language an `Accept-Language` header asks for: English only where it is preferred to Chinese
 * (RFC 9110, section 12.5.4: by weight, then by order); Chinese where the header is missing or names neither.
 */
export function localeOf(header: string | null): Locale {
  let best: { locale: Locale; weight: number } = { locale: "zh", weight: 0 };
  for (const part of header?.slice(0, 256).split(",") ?? []) {
    const [range = "", ...parameters] = part.trim().toLowerCase().split(";");
    const q = parameters.map((each) => each.trim()).find((each) => each.startsWith("q="));
    const weight = q === undefined ? 1 : Number(q.slice(2));
    const language = range.trim().split("-")[0];
    if ((language === "zh" || language === "en") && weight > best.weight) best = { locale: language, weight };
  }
  return best.locale;
}
