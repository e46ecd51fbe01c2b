// A reader of ratings for Kafka's own console producer: lines "KEY HEXADECIMAL" become records of these bytes. Where a
// record goes is left to the Java client.
//
//   java -m jdk.compiler/com.sun.tools.javac.Main -cp 'build/kafka/lib/*' -d build/kafka/classes RatingReader.java
//   java -cp 'build/kafka/lib/*:build/kafka/classes' org.apache.kafka.tools.ConsoleProducer --line-reader RatingReader \
//       --bootstrap-server HOST:PORT --topic ratings <lines

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Map;
import java.util.Scanner;
import java.util.stream.Stream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.tools.api.RecordReader;

public class RatingReader implements RecordReader {
  private String topic;

  @Override
  public void configure(Map<String, ?> settings) {
    topic = settings.get("topic").toString();
  }

  @Override
  public Iterator<ProducerRecord<byte[], byte[]>> readRecords(InputStream input) {
    Scanner lines = new Scanner(input, StandardCharsets.UTF_8);
    return Stream.iterate(lines, Scanner::hasNextLine, s -> s).map(s -> s.nextLine().split(" "))
        .map(words -> new ProducerRecord<>(topic, words[0].getBytes(StandardCharsets.UTF_8),
            HexFormat.of().parseHex(words[1]))).iterator();
  }
}
