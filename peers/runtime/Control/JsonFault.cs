using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;

namespace Archipelago.Runtime.Control;

/// <summary>Says what is wrong with a JSON body in the words of who wrote it: members, not types of this program.</summary>
internal static partial class JsonFault
{
    public static string Describe(JsonException fault, JsonTypeInfo type)
    {
        string[] members = [.. type.Properties.Select(p => p.Name)];
        if (Unmapped().Match(fault.Message) is { Success: true } unknown)
        {
            return $"there is no member \"{unknown.Groups[1].Value}\"; known are {string.Join(", ", members)}";
        }

        string place = fault.Path is null or "$" ? "" : $"{fault.Path}: ";
        if (fault.Message.Contains("could not be converted", StringComparison.Ordinal) || fault.Message.Contains("deserializ", StringComparison.Ordinal))
        {
            JsonPropertyInfo? member = type.Properties.FirstOrDefault(p => fault.Path is { } path && (path + ".").StartsWith($"$.{p.Name}.", StringComparison.Ordinal));
            string expected = member is not null ? KindOf(member.PropertyType) : $"an object with {string.Join(", ", members)}";
            return $"{place}expected {expected}";
        }

        // A fault of syntax, which the parser tells without types.
        int end = fault.Message.IndexOf(" Path: ", StringComparison.Ordinal);
        return place + (end < 0 ? fault.Message : fault.Message[..end]);
    }

    private static string KindOf(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type == typeof(bool) ? "true or false"
            : type == typeof(string) ? "a text"
            : type == typeof(float) || type == typeof(double) ? "a number"
            : type.IsPrimitive ? "an integer that is not too large"
            : typeof(System.Collections.IEnumerable).IsAssignableFrom(type) ? "a list"
            : "an object";
    }

    [GeneratedRegex("^The JSON property '(.*)' could not be mapped")]
    private static partial Regex Unmapped();
}
