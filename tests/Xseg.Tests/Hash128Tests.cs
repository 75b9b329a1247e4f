using System.Text;
using Xunit;

namespace Archipelago.Xseg.Tests;

public class Hash128Tests
{
    /// <summary>Published vectors of MurmurHash3_x64_128, seed 0.</summary>
    [Theory]
    [InlineData("", 0x0000000000000000ul, 0x0000000000000000ul)]
    [InlineData("hello", 0xcbd8a7b341bd9b02ul, 0x5b1e906a48ae1d19ul)]
    [InlineData("hello, world", 0x342fac623a5ebc8eul, 0x4cdcbc079642414dul)]
    [InlineData("The quick brown fox jumps over the lazy dog.", 0xcd99481f9ee902c9ul, 0x695da1a38987b6e7ul)]
    public void KnownVectorsOfMurmurHash3AreMet(string text, ulong low, ulong high) =>
        Assert.Equal(new Hash128(low, high), Hash128.Of(Encoding.ASCII.GetBytes(text)));
}
