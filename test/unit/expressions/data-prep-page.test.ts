import { describe, expect, it } from 'vitest'
import type { EpochMs } from '../../../processors/app/units.ts'
import { createExpressions } from '../../../processors/expressions/index.ts'

/**
 * The examples of the public page "Data Prep mapping functions" (AdobeDocs/experience-platform: help/data-prep/functions.md), each with the
 * result that stands there. Where the page contradicts itself, the row is in the second table with the reason.
 */
const UA =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 5_1_1 like Mac OS X) AppleWebKit/534.46 (KHTML, like Gecko) Version/5.1 Mobile/9B206 Safari/7534.48.3'
const FERRET = 'foo://example.com:8042/over/there?name=ferret#nose'
const PRODUCTS = ';Example product 1;1;4.20;event1=2.3|event2=5:1,;Example product 2;1;4.20;event1=3|event2=2:2'

const SAME: readonly [source: string, result: unknown][] = [
  ['concat("Hi, ", "there", "!")', 'Hi, there!'],
  ['instr("adobe.com", "com")', 6],
  ['replacestr("This is a string re test", "re", "replace")', 'This is a string replace test'],
  ['substr("This is a substring test", 7, 8)', ' a subst'],
  ['lower("HeLLo")', 'hello'],
  ['lcase("HeLLo")', 'hello'],
  ['upper("HeLLo")', 'HELLO'],
  ['ucase("HeLLo")', 'HELLO'],
  ['split("Hello world", " ")', ['Hello', 'world']],
  ['join(" ", to_array(true, "Hello", "world"))', 'Hello world'],
  ['lpad("bat", 8, "yz")', 'yzyzybat'],
  ['rpad("bat", 8, "yz")', 'batyzyzy'],
  ['left("abcde", 2)', 'ab'],
  ['right("abcde", 2)', 'de'],
  ['ltrim(" hello")', 'hello'],
  ['rtrim("hello ")', 'hello'],
  ['trim(" hello ")', 'hello'],
  ['"string1".equals("STRING1")', false],
  ['"string1".equalsIgnoreCase("STRING1")', true],
  ['extract_regex("E259,E259B_009,1_1", "([^,]+),[^,]*,([^,]+)")', ['E259,E259B_009,1_1', 'E259', '1_1']],
  ['matches_regex("E259,E259B_009,1_1", "([^,]+),[^,]*,([^,]+)")', true],
  ['sha1("my text", "UTF-8")', 'c3599c11e47719df18a2448690840c5dfcce3c80'],
  ['sha256("my text", "UTF-8")', '7330d2b39ca35eaf4cb95fc846c21ee6a39af698154a83a586ee270a0d372104'],
  [
    'sha512("my text", "UTF-8")',
    'a3d7e45a0d9be5fd4e4b9a3b8c9c2163c21ef708bf11b4232bb21d2a8704ada2cdcd7b367dd0788a89a5c908cfe377aceb1072a7b386b7d4fd2ff68a8fd24d16',
  ],
  ['md5("my text", "UTF-8")', 'd3b96ce8c9fb4e9bd0198d03ba6852c7'],
  ['crc32("my text", "UTF-8")', '8df92e80'],
  ['get_url_protocol("https://platform.adobe.com/home")', 'https'],
  ['get_url_host("https://platform.adobe.com/home")', 'platform.adobe.com'],
  ['get_url_port("sftp://example.com//home/joe/employee.csv")', 22],
  ['get_url_path("sftp://example.com//home/joe/employee.csv")', '//home/joe/employee.csv'],
  [`get_url_query_str("${FERRET}", "retain")`, { name: 'ferret#nose' }],
  [`get_url_query_str("${FERRET}", "remove")`, { name: 'ferret' }],
  [`get_url_query_str("${FERRET}", "append")`, { name: 'ferret', _anchor_: 'nose' }],
  [
    'get_url_encoded("https://example.com/partneralliance_asia-pacific_2022")',
    'https%3A%2F%2Fexample.com%2Fpartneralliance_asia-pacific_2022',
  ],
  [
    'get_url_decoded("https%3A%2F%2Fexample.com%2Fpartneralliance_asia-pacific_2022")',
    'https://example.com/partneralliance_asia-pacific_2022',
  ],
  ['now()', '2021-10-26T10:10:24Z'],
  ['timestamp()', 1_635_243_024_000],
  [`dformat(1571829875000, "yyyy-MM-dd'T'HH:mm:ss.SSSX")`, '2019-10-23T11:24:35.000Z'],
  ['date("2019-10-23 11:24", "yyyy-MM-dd HH:mm", now())', '2019-10-23T11:24:00Z'],
  ['date("2019-10-23 11:24", "yyyy-MM-dd HH:mm")', '2019-10-23T11:24:00Z'],
  ['date("2019-10-23 11:24")', '2019-10-23T11:24:00Z'],
  ['date_part("MM", date("2019-10-17 11:55:12"))', 10],
  ['set_date_part("m", 4, date("2016-11-09T11:44:44.797"))', '2016-04-09T11:44:44Z'],
  ['zone_date_to_utc("2019-10-17T11:55:12 PST")', '2019-10-17T19:55:12Z'],
  ['size_of([1, 2, 3, 4])', 4],
  ['is_empty([1, null, 2, 3])', false],
  ['is_empty([1, 2, 3])', false],
  [
    `arrays_to_objects('sku', explode("id1|id2", '\\\\|'), 'price', [22.5, 14.35])`,
    [
      { sku: 'id1', price: 22.5 },
      { sku: 'id2', price: 14.35 },
    ],
  ],
  ['to_object("firstName", "John", "lastName", "Doe")', { firstName: 'John', lastName: 'Doe' }],
  [
    'str_to_object("firstName=John,lastName=Doe,phone=123 456 7890", "=", ",")',
    { firstName: 'John', lastName: 'Doe', phone: '123 456 7890' },
  ],
  ['str_to_object("firstName - John ; lastName - ; phone - 123 456 7890", "-", ";").get("firstName")', 'John'],
  ['contains_key("evars.evar.field1")', true],
  ['nullify()', null],
  ['get_keys({"book1": "Pride and Prejudice", "book2": "1984"})', ['book1', 'book2']],
  ['get_values("firstName - John , lastName - Cena , phone - 555 420 8692", "firstName", "-", ",")', 'John'],
  ['map_get_values(book_details, "author")', { author: 'George R. R. Martin' }],
  ['map_has_keys(book_details, "author")', true],
  [
    'add_to_map(book_details, book_details2)',
    { author: 'George R. R. Martin', price: 17.99, ISBN: 'ISBN-978-0553801477', publisher: 'William Morrow' },
  ],
  ['object_to_map("firstName", "John", "lastName", "Doe")', { firstName: 'John', lastName: 'Doe' }],
  ['object_to_map(address)', { line1: '345 park ave', type: 'office' }],
  ['object_to_map(addresses, type)', { home: { type: 'home', n: 1 }, work: { type: 'work', n: 2 } }],
  ['array_to_map(addresses, "type")', { home: { type: 'home', n: 1 }, work: { type: 'work', n: 2 } }],
  ['to_map("firstName", "John", "lastName", "Doe")', { firstName: 'John', lastName: 'Doe' }],
  ['coalesce(null, null, null, "first", null, "second")', 'first'],
  ['first("1", "2", "3")', '1'],
  ['last("1", "2", "3")', '3'],
  ["add_to_array(['a', 'b'], 'c', 'd')", ['a', 'b', 'c', 'd']],
  ["join_arrays(['a', 'b'], ['c'], ['d', 'e'])", ['a', 'b', 'c', 'd', 'e']],
  ['to_array(false, 1, null, 2, 3)', [1, 2, 3]],
  ['upsert_array_append([123, 456])', [123, 456]],
  ['upsert_array_replace([123, 456], 1)', [123, 456]],
  ['array_to_string(";", ["Hello", "world"])', 'Hello;world'],
  ['filterArray([5, -6, 0, 7], x -> x > 0)', [5, 7]],
  ['transformArray([5, 6, 7], x -> x + 1)', [6, 7, 8]],
  ["flattenArray([[['a', 'b'], ['c', 'd']], [['e'], ['f']]])", ['a', 'b', 'c', 'd', 'e', 'f']],
  ['decode(stateCode, "ca", "California", "pa", "Pennsylvania", "N/A")', 'Pennsylvania'],
  ['decode("ca", "ca", "California", "pa", "Pennsylvania", "N/A")', 'California'],
  ['decode("ny", "ca", "California", "pa", "Pennsylvania", "N/A")', 'N/A'],
  ['iif("s".equalsIgnoreCase("S"), "True", "False")', 'True'],
  ['min(3, 1, 4)', 1],
  ['max(3, 1, 4)', 4],
  ['to_bigint("1000000.34")', 1000000.34],
  ['to_decimal("20.5")', 20.5],
  ['to_integer("12")', 12],
  [
    'json_to_object({"info": {"firstName": "John", "lastName": "Doe"}})',
    { info: { firstName: 'John', lastName: 'Doe' } },
  ],
  [
    `json_to_object('{"info":{"firstName":"John","lastName": "Doe"}}')`,
    { info: { firstName: 'John', lastName: 'Doe' } },
  ],
  [`ua_os_name("${UA}")`, 'iOS'],
  [`ua_os_version_major("${UA}")`, 'iOS 5'],
  [`ua_os_version("${UA}")`, '5.1.1'],
  [`ua_os_name_version("${UA}")`, 'iOS 5.1.1'],
  [`ua_agent_version("${UA}")`, '5.1'],
  [`ua_agent_version_major("${UA}")`, 'Safari 5'],
  [`ua_agent_name("${UA}")`, 'Safari'],
  [`ua_device_class("${UA}")`, 'Phone'],
  ['aa_get_event_id("event101=5:123456,scOpen", "event101")', '123456'],
  ['aa_get_event_value("event101=5:123456,scOpen", "event101")', '5'],
  [
    'aa_get_product_categories(";Example product 1;1;3.50,Example category 2;Example product 2;1;5.99")',
    [null, 'Example category 2'],
  ],
  [
    'aa_get_product_names(";Example product 1;1;3.50,Example category 2;Example product 2;1;5.99")',
    ['Example product 1', 'Example product 2'],
  ],
  ['aa_get_product_quantities(";Example product 1;1;3.50,Example category 2;Example product 2")', ['1', null]],
  ['aa_get_product_prices(";Example product 1;1;3.50,Example category 2;Example product 2")', ['3.50', null]],
  [`aa_get_product_event_values("${PRODUCTS}", "event1")`, ['2.3', '3']],
  ['aa_get_product_evars(";Example product;1;6.69;;eVar1=Merchandising value", "eVar1")', ['Merchandising value']],
]

const OTHER: readonly [source: string, page: unknown, ours: unknown, why: string][] = [
  ['explode("Hi, there!", " ")', ['Hi,', 'there'], ['Hi,', 'there!'], 'the page loses the exclamation mark'],
  [
    'format(date("2019-10-23T11:24:00+00:00"), "yyyy-MM-dd HH:mm:ss")',
    '2019-10-23 11:24:35',
    '2019-10-23 11:24:00',
    'the page’s input has no 35 seconds',
  ],
  [
    'make_date_time(2019, 10, 17, 11, 55, 12, 999, "America/Los_Angeles")',
    '2019-10-17T11:55:12Z',
    '2019-10-17T11:55:12-07:00',
    'the page prints the local time with a Z, which names an instant seven hours earlier',
  ],
  [
    'zone_date_to_zone("2021-10-26T13:43:59Z", "Europe/Paris")',
    '2021-10-26T15:43:59Z',
    '2021-10-26T15:43:59+02:00',
    'the page prints the local time with a Z, which names an instant two hours later',
  ],
  [
    'str_to_object("firstName - John ; lastName - ; - 123 345 7890", "-", ";")',
    { firstName: 'John', lastName: 'Doe', phone: '123 456 7890' },
    { firstName: 'John', lastName: '' },
    'the page’s input has neither "Doe" nor "phone"',
  ],
  ['to_float("12.3456")', 12.34566, 12.3456, 'the page’s digits are not those of a 32-bit float'],
]

const ROOT = {
  evars: { evar: { field1: null } },
  stateCode: 'pa',
  book_details: { author: 'George R. R. Martin', price: 17.99, ISBN: 'ISBN-978-0553801477' },
  book_details2: { author: 'Neil Gaiman', price: 17.99, ISBN: 'ISBN-0-380-97365-0', publisher: 'William Morrow' },
  address: { line1: '345 park ave', type: 'office' },
  addresses: [
    { type: 'home', n: 1 },
    { type: 'work', n: 2 },
  ],
}

const expressions = createExpressions({ clock: () => Date.UTC(2021, 9, 26, 10, 10, 24) as EpochMs, random: () => 0.5 })

describe('Data Prep functions', () => {
  it.each(SAME)('%s gives what the page says', (source, result) => {
    expect(expressions.compile(source).evaluate(ROOT)).toEqual(result)
  })

  it.each(OTHER)('%s differs from the page, which says %j: %j', (source, page, ours) => {
    const result = expressions.compile(source).evaluate(ROOT)
    expect(result).toEqual(ours)
    expect(result).not.toEqual(page)
  })

  it('uuid and guid give version 4 UUIDs from the given randomness', () => {
    const uuid = expressions.compile('uuid()').evaluate({})
    expect(uuid).toBe('80808080-8080-4080-8080-808080808080')
    expect(expressions.compile('guid()').evaluate({})).toBe(uuid)
  })

  it('fpid_to_ecid is refused with the reason: its derivation is not public', () => {
    expect(() => expressions.compile('fpid_to_ecid("4ed70bee-b654-420a-a3fd-b58b6b65e991")')).toThrow(/not published/)
  })

  it.each([
    ['get_url_protocol("no url")', null],
    ['get_url_host("/relative/path")', null],
    ['get_url_port("https://exa mple.com")', null],
    ['get_url_port("foo://example.com")', null],
    ['get_url_port("foo://example.com:8042")', 8042],
    ['get_url_path("")', null],
    ['get_url_path("https://a.b/c/d.html?x=/y", false)', 'd.html'],
    ['get_url_host("https://user:secret@[::1]:8443/x")', '[::1]'],
    ['get_url_query_str("https://a.b/?q=caf%C3%A9+au+lait&x&q=2", "remove")', { q: '2', x: '' }],
    ['get_url_query_str("https://a.b/?__proto__=1", "remove").get("__proto__")', '1'],
    ['get_url_decoded("%zz")', null],
    [`get_url_encoded(" !*'()~|\\\\")`, '%20%21%2A%27%28%29%7E%7C%5C'],
    ['md5("é€", "US-ASCII") == md5("??", "UTF-8")', true],
    ['md5("a", "UTF-16")', '4b936244fb81c0500598b1938266f69a'],
    ['instr("a-b-a-b", "b", 0, 2)', 6],
    ['instr("abc", "z")', -1],
    ['split("a,b;c", ",;")', ['a', 'b', 'c']],
    ['split("a\\\\b", "\\\\\\\\")', ['a', 'b']],
    ['split("a,,b,,", ",")', ['a', '', 'b']],
    ['explode("a,b,c")', ['a', 'b', 'c']],
    ['explode("a1b22c", "[0-9]+")', ['a', 'b', 'c']],
    ['lpad("bat", 5, "")', '  bat'],
    ['lpad("bat", 5, null)', '  bat'],
    ['rpad(missing, 5, "x")', null],
    ['to_array(true, 1, null)', [1, null]],
    ['first([])', null],
    ['is_empty(missing)', true],
    ['is_empty({})', true],
    ['map_has_keys(book_details, ["x", "price"])', true],
    ['map_get_values(book_details, ["author", "price", "author"])', { author: 'George R. R. Martin', price: 17.99 }],
    ['get_values("a:1,b:2", "b")', '2'],
    ['get_values("a:1,b:2", "c")', null],
    ['min([3, null, 1])', 1],
    ['max("a", "b")', 'b'],
    ['max(date("2020-01-01"), date("2021-01-01"))', '2021-01-01T00:00:00Z'],
    ['to_integer("2.0")', 2],
    ['to_bigint("9007199254740993")', 9007199254740993n],
    [`json_to_object('{"id": 9007199254740993, "n": 1.5}')`, { id: '9007199254740993', n: 1.5 }],
    ['decode(missing, null, "none", "other")', 'none'],
    ['decode("z", "a", 1)', null],
    ['contains_key(evars.evar.field1)', true],
    ['contains_key("evars.evar.field2")', false],
    ['is_set("addresses[1].type")', true],
    ['is_set(concat("evars", ".evar"))', true],
    [`ua_device_class("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")`, 'Robot'],
    ['ua_os_name("")', null],
    ['ua_device_class("???")', 'Unknown'],
  ])('%s → %o', (source, result) => {
    expect(expressions.compile(source as string).evaluate(ROOT)).toEqual(result)
  })
})
