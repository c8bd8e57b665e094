import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints the newest event of every incident that is open now, one JSON object a line, the worst
 * first: what {@code streamgauge incidents --json} prints. It knows nothing but the contract
 * (alerts/schema, alerts/asyncapi.yaml):
 *
 * <ul>
 *   <li>A message may come twice, and an older one again: of an incident only a higher revision
 *       counts.
 *   <li>An event says all that is known of its incident, so the newest one is enough.
 *   <li>Types and fields that a later release adds are left alone.
 * </ul>
 *
 * <pre>
 *   javac -cp 'libs/*' Incidents.java
 *   java -cp 'libs/*:.' Incidents localhost:9092 streamgauge-alerts
 * </pre>
 *
 * It needs kafka-clients and Jackson.
 */
public final class Incidents {
  private static final Set<String> OPEN = Set.of("opened", "updated", "no_data");
  private static final Set<String> KNOWN =
      Set.of("opened", "updated", "resolved", "no_data", "data_loss", "limit_reached");
  private static final ObjectMapper JSON = new ObjectMapper();

  private record Event(JsonNode body, byte[] value) {
    String text(String field) {
      return body.path(field).asText("");
    }

    String began() {
      return body.has("onset") ? text("onset") : text("since");
    }
  }

  private Incidents() {}

  public static void main(String[] arguments) {
    if (arguments.length != 2) {
      System.err.println("usage: Incidents BOOTSTRAP_SERVERS ALERTS_TOPIC");
      System.exit(2);
    }
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (Event event : open(newest(arguments[0], arguments[1]).values())) {
      out.write(event.value(), 0, event.value().length);
      out.write('\n');
    }
    out.flush();
  }

  /** Incident id to its newest event, of all messages that the topic holds now. */
  private static Map<String, Event> newest(String bootstrap, String topic) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
    settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
    settings.put("isolation.level", "read_committed");
    settings.put("auto.offset.reset", "earliest");
    settings.put("enable.auto.commit", "false");
    Map<String, Event> newest = new HashMap<>();
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream()
              .map(each -> new TopicPartition(topic, each.partition()))
              .collect(Collectors.toList());
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      while (partitions.stream().anyMatch(each -> consumer.position(each) < ends.get(each))) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
          take(record, newest);
        }
      }
    }
    return newest;
  }

  private static void take(ConsumerRecord<byte[], byte[]> record, Map<String, Event> newest) {
    if (record.value() == null) {
      return;
    }
    try {
      Event event = new Event(JSON.readTree(record.value()), record.value());
      if (event.body().path("v").asInt() != 1 || !KNOWN.contains(event.text("type"))) {
        return;
      }
      newest.merge(
          event.text("incident"),
          event,
          (old, late) -> revision(late) > revision(old) ? late : old);
    } catch (IOException error) {
      System.err.printf(
          "skipped: %s[%d] at %d is no alert event: %s%n",
          record.topic(), record.partition(), record.offset(), error.getMessage());
    }
  }

  private static int revision(Event event) {
    return event.body().path("revision").asInt();
  }

  private static List<Event> open(Iterable<Event> events) {
    Comparator<Event> worst =
        Comparator.comparing((Event event) -> !event.text("severity").equals("critical"))
            .thenComparing(Event::began)
            .thenComparing(event -> event.text("incident"));
    return java.util.stream.StreamSupport.stream(events.spliterator(), false)
        .filter(event -> OPEN.contains(event.text("type")))
        .sorted(worst)
        .collect(Collectors.toList());
  }
}
