package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var specType = reflect.TypeFor[setSpec]()

// location is a field of a struct type.
type location struct {
	typ  reflect.Type
	name string
}

// author writes specs as users might: fields in any order, odd but valid values, explicit zeros
// and nulls, unknown fields. It prefers fields that it has not given a value yet.
type author struct {
	random *rand.Rand
	done   map[location]bool
}

func newAuthor(random *rand.Rand) *author {
	return &author{random, map[location]bool{}}
}

func (a *author) spec() []byte {
	var out strings.Builder
	a.object(&out, specType, 0)
	return []byte(out.String())
}

// pending tells whether a field below a type has never had a value.
func (a *author) pending(typ reflect.Type) bool {
	if _, ok := special[typ]; ok {
		return false
	}
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return a.pending(typ.Elem())
	case reflect.Struct:
		for _, it := range fields(typ) {
			if !a.done[location{typ, it.name}] || a.pending(it.typ) {
				return true
			}
		}
	}
	return false
}

func (a *author) chance(percent int) bool {
	return a.random.Intn(100) < percent
}

func pick[T any](a *author, choices ...T) T {
	return choices[a.random.Intn(len(choices))]
}

// closed are the types whose fields the Rust side models: there nothing is null or unknown.
func closed(typ reflect.Type) bool {
	return typ.PkgPath() == specType.PkgPath()
}

func (a *author) object(out *strings.Builder, typ reflect.Type, depth int) {
	out.WriteByte('{')
	separator := ""
	all := fields(typ)
	freshLeft := 3 // Enough to reach everything soon, few enough to keep an object small.
	for _, i := range a.random.Perm(len(all)) {
		it := all[i]
		at := location{typ, it.name}
		percent := 60 / (depth + 1)
		if closed(typ) {
			percent = 30
		}
		fresh := freshLeft > 0 && (!a.done[at] || a.pending(it.typ))
		if fresh {
			percent = 90
			freshLeft--
		}
		required := at.name == "leaderWorkerTemplate" || at.name == "workerTemplate"
		if !required && !a.chance(percent) {
			continue
		}
		fmt.Fprintf(out, "%s%q:", separator, it.name)
		separator = ","
		if !closed(typ) && !fresh && a.chance(10) {
			out.WriteString("null")
			continue
		}
		if it.name == "restartPolicy" && closed(typ) {
			a.done[at] = true
			out.WriteString(pick(a, `"RecreateGroupOnPodRestart"`, `"RecreateGroupAfterStart"`, `"None"`, `"Default"`))
			continue
		}
		if it.name == "subdomainPolicy" || it.name == "subGroupPolicyType" {
			a.done[at] = true
			out.WriteString(map[string]string{
				"subdomainPolicy":    pick(a, `"Shared"`, `"UniquePerReplica"`),
				"subGroupPolicyType": pick(a, `"LeaderWorker"`, `"LeaderExcluded"`),
			}[it.name])
			continue
		}
		if a.value(out, it.typ, depth+1) {
			a.done[at] = true
		}
	}
	if !closed(typ) && a.chance(5) {
		fmt.Fprintf(out, `%s%s`, separator, pick(a, `"fromTheFuture":[1,{"a":null}]`, `"Name":"not a name"`, `"":{}`))
	}
	out.WriteByte('}')
}

// value writes a value of a type and tells whether it is one that does not count as empty.
func (a *author) value(out *strings.Builder, typ reflect.Type, depth int) bool {
	if typ == reflect.TypeFor[metav1.Time]() && a.chance(30) {
		// Only here: where a time is optional, Go reads its own encoding of this as absent.
		out.WriteString(pick(a, `"0001-01-01T00:00:00Z"`, "null"))
		return false
	}
	if name, ok := special[typ]; ok {
		out.WriteString(a.special(name))
		return true
	}
	text := ""
	switch typ.Kind() {
	case reflect.Bool:
		text = pick(a, "true", "true", "false")
	case reflect.Int32:
		text = pick(a, "0", "1", "8080", "-1", "2147483647")
	case reflect.Int64:
		text = pick(a, "0", "30", "3.0", "1.2e1", "-7", "9007199254740993", "9223372036854775807", "-9223372036854775808")
	case reflect.String:
		text = a.text()
	case reflect.Pointer:
		if name, ok := special[typ.Elem()]; ok {
			out.WriteString(a.special(name))
		} else {
			a.value(out, typ.Elem(), depth)
		}
		return true
	case reflect.Slice:
		return a.list(out, typ.Elem(), depth)
	case reflect.Map:
		return a.mapping(out, typ.Elem(), depth)
	case reflect.Struct:
		a.object(out, typ, depth)
		return true
	}
	out.WriteString(text)
	return text != "false" && text != "0" && text != `""`
}

func (a *author) list(out *strings.Builder, element reflect.Type, depth int) bool {
	count := pick(a, 0, 1, 1, 2)
	if closed(element) || a.pending(element) {
		count = 1
	}
	out.WriteByte('[')
	for i := range count {
		if i > 0 {
			out.WriteByte(',')
		}
		if a.chance(4) && !a.pending(element) {
			out.WriteString("null")
		} else {
			a.value(out, element, depth)
		}
	}
	out.WriteByte(']')
	return count > 0
}

func (a *author) mapping(out *strings.Builder, element reflect.Type, depth int) bool {
	keys := []string{"cpu", "a.b/c", "\u2028", "é", "<k>", "\ue000", "😀", "Z", "a"}
	a.random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	count := a.random.Intn(4)
	out.WriteByte('{')
	for i, key := range keys[:count] {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(out, "%s:", quoted(key))
		if a.chance(6) {
			out.WriteString("null")
		} else {
			a.value(out, element, depth)
		}
	}
	out.WriteByte('}')
	return count > 0
}

func (a *author) text() string {
	return pick(a, `""`, `"name"`, `"nginx:1.27"`, `"a b"`, `"<&>"`, `"\u003c&amp;\/"`, "\"\u2028|\u2029\"",
		`"\u0000\b\f\n\r\t\u001f\u007f"`, "\"\x7f\\\"\\\\\"", `"😀é中"`, `"\ud83d\ude00"`, `"$(VAR)"`, `"true"`)
}

func (a *author) special(name string) string {
	switch name {
	case "Quantity":
		if a.chance(30) {
			return pick(a, "4", "0", "0.5", "1e3", "-1", "1024", "1e21", "1e-7", "0.30000000000000004",
				"100000000000000000000", "12345678901234567890", "1E6", "10.0")
		}
		return quoted(pick(a, quantityText(a.random), pick(a, oddQuantities...)))
	case "IntOrString":
		return pick(a, "0", "8080", "-1", `""`, `"http"`, `"25%"`, `"8080"`)
	case "Time":
		return pick(a, `"2024-01-02T03:04:05Z"`, `"2024-01-02T03:04:05.999999999+02:00"`,
			`"1969-12-31T23:59:59.5Z"`, `"2024-12-31T23:59:59-00:30"`)
	case "Json":
		return pick(a, `{"f:metadata":{"f:b":{},"f:a":{".":{}}}}`,
			`{"b":[1.5,1e21,1e-7,-0.0,0.000001,100000000000000000000,true,null,"<"],"a":9007199254740993}`)
	}
	panic(name)
}

// quoted gives the JSON string of a text, with nothing escaped that need not be.
func quoted(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}
